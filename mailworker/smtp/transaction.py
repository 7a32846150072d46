"""One transaction: MAIL, RCPT, DATA and the dot, and what each answer means for each recipient (DESIGN §9, §10).

Where the server offers PIPELINING (RFC 2920) the commands go out together, and the envelope of the next message behind the
final dot of this one: one round trip a message. Where it does not, each command waits for its answer. It decides outcomes;
retries are for others. Every reply, and every way to lose the connection, is a value in the result: every recipient is in
it. Whatever else is raised on the way (by `before_dot`, by a signal) leaves the session closed without the dot.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from mailworker.outcome import Outcome, OutcomeClass, Reply
from mailworker.smtp import content as contents
from mailworker.smtp.dialogue import BLOCK, ConnectionLost, Loss
from mailworker.smtp.envelope import Envelope
from mailworker.smtp.opening import DATA, MAIL, Opening

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
        followed: the envelope of the message that `following` gave is on its way: the next transaction of this session has
            to be that one's.
    """

    outcomes: Mapping[str, Outcome]
    go_away: bool = False
    stale: bool = False
    withdrawn: bool = False
    locked_out: Reply | None = None
    followed: bool = False


def transact(
    session: Session,
    envelope: Envelope,
    content: bytes,
    before_dot: Callable[[], bool] = lambda: True,
    *,
    following: Callable[[], tuple[Envelope, bytes] | None] = lambda: None,
    meanwhile: Callable[[], None] = lambda: None,
) -> TransactionResult:
    """Hand one message to the server.

    Args:
        session: open and ready; closed on return if it can take no more.
        envelope: from whom, for whom; at least one recipient.
        content: the message with whatever line ends; 7-bit where the server does not offer 8BITMIME.
        before_dot: asked when everything but the final dot has been sent, or of a small content also that has not; False
            closes the session without the dot.
        following: asked right before the dot for the message that will be sent next in this session; its envelope may go
            out behind the dot.
        meanwhile: called while the server works. It must not raise.

    Returns:
        The outcomes, and what may be done next.

    Raises:
        ValueError: the envelope has no recipient, or another message's is on its way.
    """
    if not envelope.recipients:
        raise ValueError("the envelope has no recipient; expected at least one")
    opening = session.underway
    if isinstance(opening, Opening) and opening.envelope is not envelope:
        session.abort()
        raise ValueError("the envelope of another message is on its way; expected that one")
    try:
        if not isinstance(opening, Opening):
            opening = Opening(session.offer, envelope, content)
        result = _Transaction(session, opening, before_dot, following, meanwhile).run()
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
    def __init__(
        self,
        session: Session,
        opening: Opening,
        before_dot: Callable[[], bool],
        following: Callable[[], tuple[Envelope, bytes] | None],
        meanwhile: Callable[[], None],
    ) -> None:
        self._session = session
        self._opening = opening
        self._before_dot = before_dot
        self._following = following
        self._meanwhile = meanwhile
        self._phase = _Phase.MAIL
        self._outcomes = opening.outcomes
        self._is_underway = session.underway is opening
        self._is_reused = session.transactions > 0
        #: What the server said to MAIL, if not yes; to DATA; and its 530 to whichever.
        self._refusal: Reply | None = None
        self._data: Reply | None = None
        self._locked_out: Reply | None = None
        #: The server took a recipient: what it gets now, somebody gets.
        self._has_recipient = False

    def run(self) -> TransactionResult:
        self._session.underway = None
        if not self._open_recipients():
            return self._result()
        if not self._is_underway:
            self._session.transactions += 1
        self._session.begin_transaction()
        try:
            return self._name_envelope() or self._end_of_envelope() or self._send_content()
        except ConnectionLost as lost:
            return self._lost(lost)
        except Exception as error:
            if self._phase is not _Phase.DOT:
                raise
            self._session.abort()
            self._fill(OutcomeClass.IN_DOUBT, text=f"{type(error).__name__} {self._phase.value}")
            return self._result()

    # The envelope.

    def _name_envelope(self) -> TransactionResult | None:
        """Say MAIL, RCPT and DATA, in as many groups as it takes, and hear all answers; return how it ends at a 421."""
        for group in self._opening.groups:
            if group[0][0] == DATA and not self._open_recipients():
                return None
            if self._is_underway:
                self._is_underway = False
            else:
                self._phase = _phase_of(group[0][0])
                if self._session.has_unread():
                    return self._unasked()
                self._session.send(b"".join(command for _, command in group))
                self._meanwhile()
            heard = 0
            while heard < len(group):
                self._phase = _phase_of(group[heard][0])
                for reply in self._session.replies(len(group) - heard):
                    if reply.code == 421:
                        return self._go_away(reply)
                    about = group[heard][0]
                    self._phase = _phase_of(about)
                    self._heard(about, reply)
                    heard += 1
            if self._refusal or self._locked_out:
                return None
        return None

    def _heard(self, about: str, reply: Reply) -> None:
        """Take in the answer to one command; what follows a refused MAIL in its group says nothing of a recipient."""
        if about not in (MAIL, DATA) and reply.is_positive:
            self._has_recipient = True
        if reply.code == 530:
            self._locked_out = self._locked_out or reply
        elif about == DATA:
            self._data = reply
        elif self._refusal is not None or self._locked_out is not None:
            return
        elif about == MAIL:
            self._refusal = None if self._says_yes(reply) else reply
        elif not self._says_yes(reply):
            # RFC 5321 §4.5.3.1.10: 552 to RCPT is an old way to say 452, too many recipients.
            kind = OutcomeClass.DEFERRED if reply.code == 552 else _kind(reply)
            self._outcomes[about] = Outcome(kind, reply)

    def _end_of_envelope(self) -> TransactionResult | None:
        """Return how the transaction ends if it ends before the content."""
        if self._session.has_unread():
            return self._unasked()
        if self._data is not None and self._data.is_positive and self._data.code != 354:
            raise _out_of_step(self._data)
        if self._locked_out is not None:
            self._fill(OutcomeClass.DEFERRED, self._locked_out)
            self._leave_data()
            return self._result(locked_out=self._locked_out)
        if self._refusal is not None:
            return self._refused_at_mail(self._refusal)
        if not self._open_recipients():
            return self._reset() if self._leave_data() else self._result()
        assert self._data is not None, "every envelope ends with DATA"
        if self._data.code == 354:
            return None
        self._fill(_kind(self._data), self._data)
        return self._reset()

    def _refused_at_mail(self, reply: Reply) -> TransactionResult:
        if reply.is_transient and reply.enhanced == "4.4.2" and self._is_reused:
            # "Bad connection": SES's farewell to a session that was idle, in place of 421.
            self._session.abort()
            self._fill(OutcomeClass.DEFERRED, reply)
            return self._result(stale=True)
        self._fill(_kind(reply), reply)
        self._leave_data()
        return self._result()

    def _leave_data(self) -> bool:
        """End the content that a server asks for although nobody gets it: with the dot alone (RFC 2920 §3.1).

        What it says to that means nothing, since it took no recipient. If it did, it must not get the dot: somebody would get
        an empty message.

        Returns:
            True if there was nothing to end.
        """
        if self._data is None or self._data.code != 354:
            return True
        if self._has_recipient:
            self._session.abort()
            return False
        try:
            self._session.send(contents.DOT)
            # Not the time of a final reply: nothing hangs on it.
            if self._session.replies(1)[0].code == 421:
                self._session.abort()
        except ConnectionLost:
            self._session.abort()
        return False

    # The content.

    def _send_content(self) -> TransactionResult:
        self._phase = _Phase.CONTENT
        last = b""
        if not self._leaves_with_dot():
            try:
                self._session.write(contents.stuffed_blocks(self._opening.content, BLOCK))
            except ConnectionLost:
                # A server that had enough may have said why before it went.
                if self._session.has_input():
                    return self._early()
                raise
        else:
            last = contents.stuffed(self._opening.content)
        # Before the question: what it takes must not stand between the yes and the dot, for the yes has its time.
        following = self._next()
        if not self._before_dot():
            self._session.abort()
            return self._result(withdrawn=True)
        if self._session.has_input():
            # Of a small content nothing has been sent so far: then it is no verdict on it.
            return self._unasked() if self._leaves_with_dot() else self._early()
        self._send_dot(last, b"" if following is None else following.together())
        self._meanwhile()
        reply = self._session.final_reply()
        self._fill(OutcomeClass.ACCEPTED if self._says_yes(reply) else _kind(reply), reply)
        if reply.code == 421:
            self._session.abort()
        elif following is not None:
            self._session.underway = following
        return self._result(followed=following is not None and reply.code != 421)

    def _leaves_with_dot(self) -> bool:
        """Tell whether the content is small enough to go out with its dot."""
        return len(self._opening.content) <= BLOCK

    def _next(self) -> Opening | None:
        """Return the next message's beginning if it may go out behind the dot."""
        if not self._session.offer.pipelining or not self._session.may_go_on():
            return None
        following = self._following()
        if following is None:
            return None
        opening = Opening(self._session.offer, *following)
        if not opening.is_one_group:
            return None
        self._session.transactions += 1
        return opening

    def _send_dot(self, last: bytes, behind: bytes) -> None:
        """Send what is left of the content, the dot, and what goes out behind it."""
        try:
            self._session.send(last + contents.DOT + behind)
        except ConnectionLost as lost:
            # From the first byte of the dot on, a failure does not tell whether the server has seen it.
            if lost.sent > len(last):
                self._phase = _Phase.DOT
            raise
        self._phase = _Phase.DOT

    def _unasked(self) -> TransactionResult:
        """Settle what the server said beyond the answers to the commands: which of them was which is not known any more."""
        reply = self._session.early_reply()
        if reply.code == 421:
            return self._go_away(reply)
        raise _out_of_step(reply)

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

    # How it ends.

    def _go_away(self, reply: Reply) -> TransactionResult:
        self._session.abort()
        self._fill(OutcomeClass.DEFERRED, reply)
        return self._result(go_away=True)

    def _reset(self) -> TransactionResult:
        """End a transaction that will see no content; that this fails changes no outcome."""
        try:
            reply = self._session.command(b"RSET")
        except ConnectionLost:
            self._session.abort()
            return self._result()
        if 300 <= reply.code < 400 or self._session.has_unread():
            # The answer to DATA, or one more than there were commands: those that were taken for answers were others'.
            raise _out_of_step(reply)
        if not reply.is_positive:
            self._session.abort()
        return self._result()

    def _lost(self, lost: ConnectionLost) -> TransactionResult:
        self._session.abort()
        if lost.loss is Loss.MALFORMED and self._phase in (_Phase.MAIL, _Phase.RCPT, _Phase.DATA):
            # A server that makes no sense, or is out of step, has refused nobody for good.
            for recipient in [recipient for recipient, outcome in self._outcomes.items() if outcome.reply is not None]:
                del self._outcomes[recipient]
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
        return self._opening.open_recipients()

    def _fill(self, kind: OutcomeClass, reply: Reply | None = None, text: str = "") -> None:
        """Give every recipient that has no outcome yet this one."""
        self._outcomes |= dict.fromkeys(self._open_recipients(), Outcome(kind, reply, text))

    def _result(
        self,
        *,
        go_away: bool = False,
        stale: bool = False,
        withdrawn: bool = False,
        locked_out: Reply | None = None,
        followed: bool = False,
    ) -> TransactionResult:
        outcomes = {} if withdrawn else {r: self._outcomes[r] for r in self._opening.envelope.recipients}
        return TransactionResult(
            outcomes=outcomes,
            go_away=go_away,
            stale=stale,
            withdrawn=withdrawn,
            locked_out=locked_out,
            followed=followed,
        )


def _phase_of(about: str) -> _Phase:
    return _Phase.MAIL if about == MAIL else _Phase.DATA if about == DATA else _Phase.RCPT


def _kind(reply: Reply) -> OutcomeClass:
    return OutcomeClass.REJECTED if reply.is_permanent else OutcomeClass.DEFERRED


def _out_of_step(reply: Reply) -> ConnectionLost:
    return ConnectionLost(Loss.MALFORMED, f"{reply.code} is no answer here")
