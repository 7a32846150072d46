"""One SMTP session: whether it may be used again, how long each phase may take, and how it ends.

Opening one is the handshake's part, what is said in a transaction is the transaction's. A session that was lost or
aborted stays closed: whoever holds it opens another. Commands fail with `ConnectionLost`; closing never fails.
"""

from __future__ import annotations

import math
import os
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self, TypeVar

from mailworker.smtp import handshake
from mailworker.smtp.dialogue import ConnectionLost, Dialogue
from mailworker.smtp.offer import Offer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mailworker.outcome import Reply
    from mailworker.smtp.options import SessionOptions

_T = TypeVar("_T")

#: Seconds that a server gets to answer QUIT: it owes us nothing any more.
QUIT_TIMEOUT = 1.0

#: Seconds for a reply that came unasked to be complete.
EARLY_REPLY_TIMEOUT = 1.0


class Session:
    """An open session; `Session.open` makes one. One thread at a time.

    Attributes:
        options: what it was opened with.
        offer: what the server offers.
        transactions: how many have begun in it.
        underway: of the next transaction, what has gone out together with the end of the last one (`transaction`); the
            session is good for nothing else then.
    """

    def __init__(self, options: SessionOptions, dialogue: Dialogue, clock: Callable[[], float]) -> None:
        self.options = options
        self.offer = Offer.of(dialogue.esmtp_features)
        self.transactions = 0
        self.underway: object = None
        self._dialogue = dialogue
        self._clock = clock
        self._pid = os.getpid()
        self._opened_at = self._used_at = clock()
        self._limit = math.inf
        self._is_closed = False

    @classmethod
    def open(cls, options: SessionOptions, *, clock: Callable[[], float] = time.monotonic) -> Self:
        """Connect, greet, start TLS and log in, as the options ask.

        Args:
            options: where, how, who.
            clock: monotonic seconds.

        Raises:
            MailerUnavailable: a step failed; nothing is left open.
            ConfigurationError: a certificate file cannot be read.
        """
        return cls(options, handshake.establish(options, clock), clock)

    @property
    def is_closed(self) -> bool:
        """True once it was closed, aborted or lost."""
        return self._is_closed

    @property
    def idle(self) -> float:
        """Seconds since the last reply."""
        return self._clock() - self._used_at

    @property
    def certificate_ends_at(self) -> float | None:
        """When the server's certificate ends, seconds since the epoch; None without TLS."""
        sock = self._dialogue.sock
        certificate = sock.getpeercert() if isinstance(sock, ssl.SSLSocket) else None
        ends = (certificate or {}).get("notAfter")
        return float(ssl.cert_time_to_seconds(ends)) if isinstance(ends, str) else None

    def is_usable(self) -> bool:
        """Tell, without a word to the server, whether another transaction may begin.

        A server that speaks to an idle session says farewell, so whatever can be read means that it is over.
        """
        return (
            self.may_go_on()
            and self.underway is None
            and self.idle < self.options.max_idle
            and not self._dialogue.has_input()
        )

    def may_go_on(self) -> bool:
        """Tell, without a look at the connection, whether the session is young enough for another transaction."""
        return (
            not self._is_closed
            and self._pid == os.getpid()
            and self.transactions < self.options.max_messages
            and self._clock() - self._opened_at < self.options.max_age
        )

    def make_ready(self) -> bool:
        """Make sure that another transaction may begin, with a RSET if the session has been idle for long.

        Returns:
            False if it may not: close this session and open another.
        """
        if not self.is_usable():
            return False
        if self.idle > self.options.reset_after:
            try:
                return self.command(b"RSET").code // 100 == 2 and not self._dialogue.has_input()
            except ConnectionLost:
                return False
        return True

    def begin_transaction(self) -> None:
        """Start a transaction's clock."""
        self._limit = self._clock() + self.options.transaction_timeout

    def end_transaction(self) -> None:
        """Stop the transaction's clock."""
        self._limit = math.inf

    def command(self, line: bytes) -> Reply:
        """Send one command line and return its reply, within one phase's time.

        Raises:
            ConnectionLost: no complete reply came in time; the session is closed.
        """
        return self._within(self._phase_deadline(), lambda: self._dialogue.ask(line))

    def send(self, data: bytes) -> None:
        """Send, within one phase's time.

        Raises:
            ConnectionLost: the server did not take it in time; what it said before it went can still be read.
        """
        self._dialogue.deadline = self._phase_deadline()
        self._dialogue.send(data)

    def write(self, blocks: Iterable[bytes]) -> None:
        """Send content, each block within one phase's time; raises as `send` does."""
        for block in blocks:
            self.send(block)

    def replies(self, most: int) -> Sequence[Reply]:
        """Return the replies to the next commands that were sent: one that is waited for within one phase's time, and what came with it.

        Args:
            most: how many at most.

        Raises:
            ConnectionLost: no complete reply came in time; the session is closed.
        """
        return self._within(self._phase_deadline(), lambda: self._dialogue.read_replies(most))

    def final_reply(self) -> Reply:
        """Return the reply to the final dot, within the time that is meant for it.

        Raises:
            ConnectionLost: no complete reply came in time; the session is closed.
        """
        self._limit = math.inf
        return self._within(self._clock() + self.options.final_reply_timeout, self._dialogue.read_reply)

    def has_unread(self) -> bool:
        """Tell, without a look at the connection, whether the server has said more than it was asked."""
        return self._dialogue.has_unread

    def has_input(self) -> bool:
        """Tell, without waiting, whether the server has said something unasked, or has gone."""
        return self._dialogue.has_input()

    def early_reply(self) -> Reply:
        """Return what the server said unasked, once `has_input` is true.

        Raises:
            ConnectionLost: it went without a word, or with one that makes no sense; the session is closed.
        """
        return self._within(self._clock() + EARLY_REPLY_TIMEOUT, self._dialogue.read_reply)

    def close(self) -> None:
        """End the session: with QUIT where somebody is there to hear it. Never raises for what the server does."""
        is_between = not self._is_closed and self.underway is None and self._pid == os.getpid()
        if is_between and not self._dialogue.has_input():
            with suppress(ConnectionLost):
                self._dialogue.deadline = self._clock() + min(QUIT_TIMEOUT, self.options.timeout)
                self._dialogue.ask(b"QUIT")
        self.abort()

    def abort(self) -> None:
        """Drop the connection without another word. Never raises."""
        self._is_closed = True
        self.underway = None
        with suppress(OSError):
            self._dialogue.close()

    def _phase_deadline(self) -> float:
        return min(self._clock() + self.options.timeout, self._limit)

    def _within(self, deadline: float, action: Callable[[], _T]) -> _T:
        self._dialogue.deadline = deadline
        try:
            answer = action()
        except BaseException:
            # Also for what a signal raises: the reply that was not read would answer the next command.
            self.abort()
            raise
        self._used_at = self._clock()
        return answer
