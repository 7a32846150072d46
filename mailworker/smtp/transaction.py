"""One transaction: MAIL, RCPT, DATA and the dot, and what each answer means for each recipient (DESIGN §9).

It decides outcomes; retries are for others. Every reply, and every way to lose the connection, is a value in the
result: every recipient is in it. Whatever else is raised on the way (by `before_dot`, by a signal) leaves the session
closed without the dot.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from mailworker.outcome import Outcome, OutcomeClass, Reply
from mailworker.smtp import content as contents
from mailworker.smtp import envelope as envelopes
from mailworker.smtp.dialogue import ConnectionLost, Loss
from mailworker.smtp.envelope import Envelope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mailworker.smtp.session import Session

__all__ = ["Envelope", "TransactionResult", "transact"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionResult:
    """What became of one transaction.

    Attributes:
        outcomes: recipient -> outcome, every recipient of the envelope; empty only if withdrawn.
        go_away: the server said 421 before the dot: the same message may go out in a new session at once.
        stale: a session that had been used before turned out dead at its first command: nothing of the message was
            heard, and it may go out in a new session at once.
        withdrawn: `before_dot` said no.
        locked_out: the reply by which the server asks for a login before the content (530, RFC 4954 §6): no fault of the
            message. The session is to be closed.
    """

    outcomes: Mapping[str, Outcome]
    go_away: bool = False
    stale: bool = False
    withdrawn: bool = False
    locked_out: Reply | None = None


def transact(
    session: Session, envelope: Envelope, content: bytes, before_dot: Callable[[], bool] = lambda: True
) -> TransactionResult:
    """Hand one message to the server.

    Args:
        session: open and ready; closed on return if it can take no more.
        envelope: from whom, for whom; at least one recipient.
        content: the message with whatever line ends; 7-bit where the server does not offer 8BITMIME.
        before_dot: asked when everything but the final dot has been sent; False closes the session without it.

    Returns:
        The outcomes, and what may be done next.

    Raises:
        ValueError: the envelope has no recipient.
    """
    if not envelope.recipients:
        raise ValueError("the envelope has no recipient; expected at least one")
    transaction = _Transaction(session, envelope)
    try:
        result = transaction.run(contents.normalised(content), before_dot)
    except BaseException:
        # Nobody knows how far it came: the server must not take what follows for a part of it.
        session.abort()
        raise
    session.end_transaction()
    if not result.withdrawn and set(result.outcomes) != set(envelope.recipients):
        session.abort()
        raise AssertionError(f"{len(result.outcomes)} outcomes for {len(envelope.recipients)} recipients")
    return result


class _Phase(StrEnum):
    """Where a transaction is; the value is what a text says of it."""

    MAIL = "in MAIL"
    RCPT = "in RCPT"
    DATA = "in DATA"
    CONTENT = "in the content, before its end"
    DOT = "after the final dot"


class _Transaction:
    def __init__(self, session: Session, envelope: Envelope) -> None:
        self._session = session
        self._envelope = envelope
        self._phase = _Phase.MAIL
        self._outcomes: dict[str, Outcome] = {}
        self._is_reused = session.transactions > 0

    def run(self, content: bytes, before_dot: Callable[[], bool]) -> TransactionResult:
        self._reject_what_cannot_be_said(len(content))
        if not self._open_recipients():
            return self._result()
        self._session.begin_transaction()
        try:
            return self._envelope_then_content(content, before_dot)
        except ConnectionLost as lost:
            return self._lost(lost)

    def _reject_what_cannot_be_said(self, size: int) -> None:
        smtputf8 = self._session.has("smtputf8")
        sender = self._envelope.sender
        reason = envelopes.why_not(sender, smtputf8=smtputf8) if sender else ""
        if reason:
            self._fill(OutcomeClass.REJECTED, text=f"sender: {reason}")
        limit = self._session.size_limit
        if limit is not None and size > limit:
            self._fill(OutcomeClass.REJECTED, text=f"the message has {size} octets, and the relay takes {limit} (SIZE)")
        for recipient in self._open_recipients():
            if reason := envelopes.why_not(recipient, smtputf8=smtputf8):
                self._outcomes[recipient] = Outcome(OutcomeClass.REJECTED, None, reason)

    def _envelope_then_content(self, content: bytes, before_dot: Callable[[], bool]) -> TransactionResult:
        reply = self._session.command(self._mail(content))
        if not self._says_yes(reply):
            return self._refused_at_mail(reply)

        return self._name_recipients() or self._ask_for_content() or self._content(content, before_dot)

    def _name_recipients(self) -> TransactionResult | None:
        """Say RCPT for each recipient; return how the transaction ends if it ends here."""
        self._phase = _Phase.RCPT
        for recipient in self._open_recipients():
            reply = self._session.command(b"RCPT TO:<" + recipient.encode() + b">")
            if reply.code in (421, 530):
                return self._sent_off(reply)
            if not self._says_yes(reply):
                # RFC 5321 §4.5.3.1.10: 552 to RCPT is an old way to say 452, too many recipients.
                kind = OutcomeClass.DEFERRED if reply.code == 552 else _kind(reply)
                self._outcomes[recipient] = Outcome(kind, reply)
        return None if self._open_recipients() else self._reset()

    def _ask_for_content(self) -> TransactionResult | None:
        """Say DATA; return how the transaction ends if it ends here."""
        self._phase = _Phase.DATA
        reply = self._session.command(b"DATA")
        if reply.code == 354:
            return None
        if reply.code in (421, 530):
            return self._sent_off(reply)
        if reply.is_positive:
            raise _out_of_step(reply)
        self._fill(_kind(reply), reply)
        return self._reset()

    def _mail(self, content: bytes) -> bytes:
        line = b"MAIL FROM:<" + self._envelope.sender.encode() + b">"
        if self._session.has("size"):
            line += b" SIZE=%d" % len(content)
        if contents.is_8bit(content) and self._session.has("8bitmime"):
            line += b" BODY=8BITMIME"
        if any(map(envelopes.needs_smtputf8, (self._envelope.sender, *self._open_recipients()))):
            line += b" SMTPUTF8"
        return line

    def _refused_at_mail(self, reply: Reply) -> TransactionResult:
        if reply.code in (421, 530):
            return self._sent_off(reply)
        if reply.is_transient and reply.enhanced == "4.4.2" and self._is_reused:
            # "Bad connection": SES's farewell to a session that was idle, in place of 421.
            self._session.abort()
            self._fill(OutcomeClass.DEFERRED, reply)
            return self._result(stale=True)
        self._fill(_kind(reply), reply)
        return self._result()

    def _sent_off(self, reply: Reply) -> TransactionResult:
        """End at a reply that is about the session: 421, or 530."""
        if reply.code == 421:
            return self._go_away(reply)
        self._fill(OutcomeClass.DEFERRED, reply)
        return self._result(locked_out=reply)

    def _content(self, content: bytes, before_dot: Callable[[], bool]) -> TransactionResult:
        self._phase = _Phase.CONTENT
        try:
            self._session.write(contents.stuffed(content))
        except ConnectionLost:
            # A server that had enough may have said why before it went.
            if self._session.has_input():
                return self._early()
            raise
        if not before_dot():
            self._session.abort()
            return self._result(withdrawn=True)
        if self._session.has_input():
            return self._early()
        self._session.check_time()
        # From the first byte of the dot on, a failure does not tell whether the server has seen it.
        self._phase = _Phase.DOT
        reply = self._session.finish(contents.DOT)
        if self._says_yes(reply):
            self._fill(OutcomeClass.ACCEPTED, reply)
        else:
            self._fill(_kind(reply), reply)
        if reply.code == 421:
            self._session.abort()
        return self._result()

    def _early(self) -> TransactionResult:
        """Settle what the server said, or did, before it was given the dot: it cannot have taken the message."""
        reply = self._session.early_reply()
        if reply.code == 421:
            return self._go_away(reply)
        if reply.is_positive:
            raise _out_of_step(reply)
        self._session.abort()
        self._fill(_kind(reply), reply)
        return self._result()

    def _go_away(self, reply: Reply) -> TransactionResult:
        self._session.abort()
        self._fill(OutcomeClass.DEFERRED, reply)
        return self._result(go_away=True)

    def _reset(self) -> TransactionResult:
        """End a transaction that will see no content; that this fails changes no outcome."""
        try:
            if not self._session.command(b"RSET").is_positive:
                self._session.abort()
        except ConnectionLost:
            self._session.abort()
        return self._result()

    def _lost(self, lost: ConnectionLost) -> TransactionResult:
        self._session.abort()
        stale = self._is_reused and self._phase is _Phase.MAIL and lost.loss is Loss.CLOSED
        kind = OutcomeClass.IN_DOUBT if self._phase is _Phase.DOT else OutcomeClass.DEFERRED
        self._fill(kind, text=f"{lost} {self._phase.value}")
        return self._result(stale=stale)

    def _says_yes(self, reply: Reply) -> bool:
        if 300 <= reply.code < 400:
            raise _out_of_step(reply)
        return reply.is_positive

    def _open_recipients(self) -> list[str]:
        """Return the recipients whose outcome is open: to be named in RCPT, and after it those that were taken."""
        return [recipient for recipient in self._envelope.recipients if recipient not in self._outcomes]

    def _fill(self, kind: OutcomeClass, reply: Reply | None = None, text: str = "") -> None:
        """Give every recipient that has no outcome yet this one."""
        for recipient in self._open_recipients():
            self._outcomes[recipient] = Outcome(kind, reply, text)

    def _result(
        self, *, go_away: bool = False, stale: bool = False, withdrawn: bool = False, locked_out: Reply | None = None
    ) -> TransactionResult:
        outcomes = {} if withdrawn else {r: self._outcomes[r] for r in self._envelope.recipients}
        return TransactionResult(
            outcomes=outcomes,
            go_away=go_away,
            stale=stale,
            withdrawn=withdrawn,
            locked_out=locked_out,
        )


def _kind(reply: Reply) -> OutcomeClass:
    return OutcomeClass.REJECTED if reply.is_permanent else OutcomeClass.DEFERRED


def _out_of_step(reply: Reply) -> ConnectionLost:
    return ConnectionLost(Loss.MALFORMED, f"{reply.code} is no answer here")
