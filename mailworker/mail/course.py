"""How a batch goes over a session: in which order, what may go ahead, which message is repeated, and when it ends.

While the server works on a message the next one is rendered, and where the server takes it so, its envelope goes out behind
the final dot (`smtp.transaction`). A message that fails stops none of the others; its first failure is kept for whoever
called. `MailerUnavailable` ends the batch: what was not sent then has empty `outcomes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.message import Message
from typing import TYPE_CHECKING, Protocol

from mailworker import log
from mailworker.errors import BadHeaderError, DeliveryFailed, InvalidAddress, MailerUnavailable, Trouble
from mailworker.mail import address, render, seven_bit
from mailworker.mail.lent import LargeMessage
from mailworker.outcome import Outcome, OutcomeClass
from mailworker.smtp import reply as replies
from mailworker.smtp.envelope import Envelope
from mailworker.smtp.transaction import TransactionResult, transact

if TYPE_CHECKING:
    from mailworker.mail.journal import Journal
    from mailworker.mail.message import EmailMessage
    from mailworker.smtp.session import Session

logger = log.get(__name__)

#: Characters of a message that is rendered ahead of its turn: two large ones at a time would fill the memory.
_AHEAD = 256 * 1024

#: Messages in a row, each sent away twice (421, in a new session too), after which it is the relay that takes none. One alone may
#: be at fault itself; more of them would cost the relay two sessions each.
_SENT_AWAY = 2

#: Messages that are rendered ahead in one go, and the characters in all after which it is enough. Several in a row take two
#: thirds of the time that they take one by one, between which everything else goes through the processor's caches.
_IN_A_ROW, _IN_ALL = 16, 256 * 1024


class Relay(Protocol):
    """What the course needs of the backend."""

    @property
    def where(self) -> str:
        """The relay as a text names it."""
        ...

    def make_ready(self) -> None:
        """Make sure of a session that takes a transaction; MailerUnavailable if there is none."""

    def session(self) -> Session:
        """Return the session that is open; MailerUnavailable if there is none."""
        ...

    def envelope(self, message: EmailMessage, recipients: tuple[str, ...]) -> Envelope:
        """Return the envelope of a message; InvalidAddress if its sender is none."""
        ...

    def close(self) -> None:
        """End the session, if there is one."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """A message as far as it can be settled without the relay.

    Attributes:
        recipients: whom it is for.
        rejected: outcomes of those that it cannot go to.
        failure: the first reason.
        envelope: for the others, None if there are none.
        content: the rendered message.
    """

    recipients: Sequence[str] = ()
    rejected: Mapping[str, Outcome] | None = None
    failure: Exception | None = None
    envelope: Envelope | None = None
    content: bytes = b""


class Course:
    """One batch.

    Args:
        relay: the backend.
        messages: what to send.
        journal: hears of each message, None = nobody does.

    Attributes:
        accepted: messages that were accepted for at least one recipient.
        failure: what the first message that failed raises.
        bad_header: the same for the first whose header could break out of its line.
    """

    def __init__(self, relay: Relay, messages: Sequence[EmailMessage], journal: Journal | None) -> None:
        self._relay = relay
        self._messages = messages
        self._journal = journal
        #: Messages that were rendered before their turn, by their place.
        self._ahead: dict[int, _Ready] = {}
        #: The place of a message that the journal knows to have begun, and whose envelope may be on its way.
        self._begun: int | None = None
        #: Messages in a row that the relay has sent away for good.
        self._sent_away = 0
        self.accepted = 0
        self.failure: Exception | None = None
        self.bad_header: BadHeaderError | None = None

    def run(self) -> None:
        """Send the messages, and set `outcomes` on each of them.

        Raises:
            MailerUnavailable: no session could be opened, or none again in mid-batch.
        """
        for place, message in enumerate(self._messages):
            ready = self._ahead.pop(place, None) or _prepared(self._relay, message)
            if ready.rejected is None:
                self._note({}, ready.failure)
            elif ready.recipients:
                self._send(place, message, ready)

    def _send(self, place: int, message: EmailMessage, ready: _Ready) -> None:
        is_begun = self._begun == place
        self._begun = None
        if not is_begun:
            if ready.envelope is not None:
                if self._journal is not None and not self._journal.may_begin(message):
                    # No session is opened for a message that waits.
                    return
                # Before an attempt is charged: a relay that is gone costs this message none.
                self._relay.make_ready()
            if self._journal is not None and not self._journal.beginning(message):
                return
        assert ready.rejected is not None
        outcomes: Mapping[str, Outcome] = ready.rejected
        if ready.envelope is not None:
            sent = self._transact(place, message, ready.envelope, ready.content, is_ready=not is_begun)
            if not sent:
                return
            outcomes = sent
            if ready.rejected:
                outcomes = {
                    recipient: ready.rejected.get(recipient) or sent[recipient] for recipient in ready.recipients
                }
        message.outcomes = dict(outcomes)
        self._note(outcomes, ready.failure)
        self._settle(place, message)

    def _settle(self, place: int, message: EmailMessage) -> None:
        if self._journal is None:
            return
        if self._begun is None:
            if self._may_follow(place):
                # Its envelope could not go ahead, but what is to be noted of both can go together.
                self._begun = place + 1
        elif not self._journal.may_begin(self._messages[self._begun]):
            # The worker has been told to stop meanwhile, or has to make way, and nothing has been noted of it yet: a new
            # session costs less than another message's time.
            self._relay.session().abort()
            self._begun = None
        following = None if self._begun is None else self._messages[self._begun]
        self._journal.settled(message, following)

    def _transact(
        self, place: int, message: EmailMessage, envelope: Envelope, content: bytes, *, is_ready: bool
    ) -> Mapping[str, Outcome]:
        """Send one message; return the outcomes, or none if the journal took it back before the final dot."""
        journal = self._journal
        was_sent_away = False

        def following() -> tuple[Envelope, bytes] | None:
            if not self._may_follow(place):
                return None
            ready = self._ahead[place + 1]
            assert ready.envelope is not None
            try:
                return ready.envelope, _fit(ready.content, self._relay.session())
            except MemoryError:
                # At its own turn it is alone.
                return None

        while True:
            if not is_ready and self._relay.session().underway is None:
                self._relay.make_ready()
            is_ready = False
            session = self._relay.session()
            result = transact(
                session,
                envelope,
                # What is on its way was made to fit when it went ahead.
                content if session.underway is not None else _fit(content, session),
                (lambda: True) if journal is None else (lambda: journal.committing(message)),
                following=following,
                meanwhile=lambda: self._meanwhile(place),
            )
            if result.withdrawn:
                return {}
            if result.locked_out is not None:
                self._locked_out(result)
            if not result.stale and (was_sent_away or not result.go_away):
                self._sent_away = self._sent_away + 1 if result.go_away else 0
                if self._sent_away == _SENT_AWAY:
                    raise self._takes_none(result)
                self._begun = place + 1 if result.followed else None
                return result.outcomes
            was_sent_away = was_sent_away or result.go_away

    def _locked_out(self, result: TransactionResult) -> None:
        self._relay.close()
        assert result.locked_out is not None
        text = f"{self._relay.where} takes no mail without a login ({replies.code_only(result.locked_out)})"
        raise MailerUnavailable(text, Trouble.AUTH_REFUSED, result.locked_out)

    def _takes_none(self, result: TransactionResult) -> MailerUnavailable:
        reply = next((outcome.reply for outcome in result.outcomes.values() if outcome.reply), None)
        said = "421" if reply is None else replies.code_only(reply)
        text = f"{self._relay.where} sends one message after the other away ({said})"
        return MailerUnavailable(text, Trouble.GREETING, reply)

    def _meanwhile(self, place: int) -> None:
        """Do what can be done while the server works on the message at this place."""
        if self._journal is not None:
            try:
                self._journal.meanwhile()
            except (KeyboardInterrupt, SystemExit, GeneratorExit):
                raise
            except BaseException as error:  # noqa: BLE001 - a log handler, a listener: it harms no message on the wire
                logger.error("what was to be told of a mail failed: %s", type(error).__name__)
        self._prepare_ahead(place)

    def _prepare_ahead(self, place: int) -> None:
        """Render messages ahead of their turn: some in a row, as soon as one of the next two is not ready."""
        if place + 1 in self._ahead and (place + 2 in self._ahead or place + 2 >= len(self._messages)):
            return
        left = _IN_ALL
        for ahead in range(place + 1, min(place + 1 + _IN_A_ROW, len(self._messages))):
            if left <= 0:
                return
            if ahead not in self._ahead:
                size = _size(self._messages[ahead])
                if size is None or not self._prepare(ahead):
                    return
                # What a class of somebody's own makes of it may be more than it shows.
                left -= max(size, len(self._ahead[ahead].content))

    def _prepare(self, place: int) -> bool:
        """Render a message; False if there is no room for it now: at its own turn it is alone."""
        try:
            self._ahead[place] = _prepared(self._relay, self._messages[place])
        except MemoryError:
            return False
        return True

    def _may_follow(self, place: int) -> bool:
        """Tell whether the message behind this place is ready to go at once, in the session that is open."""
        ready = self._ahead.get(place + 1)
        if ready is None or ready.envelope is None or not self._is_open():
            return False
        return self._journal is None or self._journal.may_begin(self._messages[place + 1])

    def _is_open(self) -> bool:
        try:
            return self._relay.session().may_go_on()
        except MailerUnavailable:
            return False

    def _note(self, outcomes: Mapping[str, Outcome], error: Exception | None) -> None:
        if any(outcome.kind is OutcomeClass.ACCEPTED for outcome in outcomes.values()):
            self.accepted += 1
            return
        if self.bad_header is None and isinstance(error, BadHeaderError):
            self.bad_header = error
        if self.failure is None:
            if isinstance(error, BadHeaderError | InvalidAddress):
                self.failure = error
            else:
                self.failure = DeliveryFailed(_what_failed(outcomes), outcomes)
                self.failure.__cause__ = error


def _prepared(relay: Relay, message: EmailMessage) -> _Ready:
    """Do what can be done of a message before its turn; whatever is wrong with it is noted, and the others go on."""
    try:
        recipients = address.recipient_keys(message)
    except Exception as error:  # noqa: BLE001 - a message that cannot even say whom it is for has no outcomes
        return _Ready(failure=error)
    if not recipients:
        return _Ready(rejected={})
    try:
        rejected, failure = _rejected(recipients)
        valid = tuple(recipient for recipient in recipients if recipient not in rejected)
        envelope = relay.envelope(message, valid)
        content = render.render(message)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a message does when it is rendered, the others go on
        text = f"the message cannot be rendered: {type(error).__name__}"
        return _Ready(recipients, dict.fromkeys(recipients, Outcome(OutcomeClass.REJECTED, None, text)), error)
    return _Ready(recipients, rejected, failure, envelope if valid else None, content)


def _size(message: EmailMessage) -> int | None:
    """Return about how many characters a message has, without a look at them; None if it is too large to be rendered ahead."""
    if type(message) is LargeMessage:
        # A look at its texts would decode them.
        return None
    try:
        contents = [message.body or ""]
        contents += [content for content, _ in getattr(message, "alternatives", None) or ()]
        contents += [attachment[1] for attachment in message.attachments]
        if any(isinstance(one, Message) for one in contents):
            # The length of a message inside the message is the number of its headers.
            return None
        size = sum(map(len, contents))
    except Exception:  # noqa: BLE001 - a subclass may hold anything; then it waits for its turn
        return None
    return size if size <= _AHEAD else None


def _what_failed(outcomes: Mapping[str, Outcome]) -> str:
    """Say in one sentence, without an address, why nobody gets a message."""
    shown = dict.fromkeys(
        f"{outcome.kind.value}: {replies.code_only(outcome.reply) if outcome.reply else outcome.text}"
        for outcome in outcomes.values()
    )
    return f"the message was accepted for none of its recipients ({len(outcomes)}): {'; '.join(list(shown)[:3])}"


def _rejected(recipients: Sequence[str]) -> tuple[dict[str, Outcome], InvalidAddress | None]:
    """Return the outcomes of those recipients that are no addresses, and what the first of them raises."""
    rejected: dict[str, Outcome] = {}
    first: InvalidAddress | None = None
    for recipient in recipients:
        try:
            address.envelope_address(recipient)
        except InvalidAddress as error:
            first = first or error
            rejected[recipient] = Outcome(OutcomeClass.REJECTED, None, "the recipient is no valid address")
    return rejected, first


def _fit(content: bytes, session: Session) -> bytes:
    """Return the content in a form that this server takes."""
    return content if session.offer.eight_bit and seven_bit.is_8bit_clean(content) else seven_bit.to_7bit(content)
