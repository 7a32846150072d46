"""One mail in the hands of a worker, from the claim to the send: what is to be sent, to whom, with which login.

Preparing is a total step: it gives something to send, or the outcomes that make sending needless. It never raises for
what a mail contains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from mailworker.delivery import policy
from mailworker.errors import CodecError
from mailworker.mail import address
from mailworker.outcome import Outcome, OutcomeClass
from mailworker.spool.base import Leased, SpoolUnavailable
from mailworker.spool.bulk import SUPPRESSED
from mailworker.spool.record import Mail

if TYPE_CHECKING:
    from mailworker.delivery.connections import Login
    from mailworker.mail.message import EmailMessage


#: Bytes of a mail from which on the spool's copy of it is let go once it is decoded. A small one is not worth the work.
_LARGE = 256 * 1024


class Rows(Protocol):
    """Turns rows of bulks into messages: `mailworker.queue.letters.Letters`."""

    def message(self, mail: Mail) -> EmailMessage:
        """Return the message of a row.

        Raises:
            CodecError: it is no row of its bulk's letter.
            Unwanted: its recipient wants no mail.
            Unfit: the letter and the row make no message.
            Withheld: nobody can tell here and now; the bulk has to wait for a person.
        """
        ...


class Unwanted(Exception):  # noqa: N818 - an answer, on its way to who asked
    """Raised for a row whose recipient wants no mail."""


class Unfit(Exception):  # noqa: N818 - the same
    """Raised for a row that makes no message.

    Attributes:
        recipient: of the row.
        reason: why, without an address.
    """

    def __init__(self, recipient: str, reason: str) -> None:
        super().__init__(reason)
        self.recipient = recipient
        self.reason = reason


class Withheld(Exception):  # noqa: N818 - the same
    """Raised when a row cannot be prepared in this worker, as none of its bulk can.

    Attributes:
        reason: why, without an address.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Decoder(Protocol):
    """What the pipeline needs of the codec."""

    def decode(self, payload: bytes) -> EmailMessage:
        """Return the message that the bytes hold; CodecError if they hold none."""
        ...

    def decode_parts(self, head: bytes, blobs: Sequence[bytes]) -> EmailMessage:
        """Return the message of a payload whose contents are kept apart; CodecError if they do not make one."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """A message ready to be sent for one lease.

    Attributes:
        leased: the mail and its lease; a large one without what was decoded of it.
        message: what to send, restricted to the recipients that are left.
        recipients: all recipients of the mail.
        login: the message's own login, if it carries one.
    """

    leased: Leased
    message: EmailMessage
    recipients: tuple[str, ...]
    login: Login = None


@dataclass(frozen=True, slots=True)
class Settled:
    """A mail that needs no sending: these outcomes say all (they may be none, if the ledger does already).

    Attributes:
        recipients: all recipients, as far as they could be read.
        outcomes: what to record.
        broken: why the payload is no message, if it is none.
        unwanted: why nobody wants it any more.
    """

    recipients: tuple[str, ...] = ()
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    broken: str = ""
    unwanted: str = ""


def prepare(
    leased: Leased, codec: Decoder, retry: policy.RetryPolicy, rows: Rows | None = None
) -> Attempt | Settled | Withheld:
    """Make an attempt of a leased mail.

    Args:
        leased: the mail as it was claimed.
        codec: opens its payload.
        retry: how often a mail in doubt may be sent again.
        rows: opens it if it is a row of a bulk.

    Returns:
        The attempt, or what settles the mail without one, or why its whole bulk has to wait.

    Raises:
        SpoolUnavailable: a bulk's letter could not be fetched before this process ends.
    """
    opened = _opened(leased.mail, codec, rows)
    if isinstance(opened, Settled | Withheld):
        return opened
    message, recipients = opened
    if not leased.mail.ledger.is_complete:
        # Some have it already, and nobody here knows who.
        return Settled(broken="what became of its recipients is sealed with a key that is not here")
    if leased.in_doubt:
        lost = Outcome(OutcomeClass.IN_DOUBT, None, "the worker was lost while it sent")
        tried = policy.remaining(leased.mail, recipients, retry)
        return Settled(recipients, dict.fromkeys(tried, lost))
    left = policy.remaining(leased.mail, recipients, retry)
    if not left:
        return Settled(recipients)
    if len(left) < len(recipients):
        message.restrict_to(left)
    # A foreign backend may set no outcomes; what the payload brought along must not be taken for its answer.
    message.outcomes = {}
    message.mail_id = leased.mail.id
    return Attempt(_light(leased), message, recipients, getattr(message, "relay_login", None))


def _light(leased: Leased) -> Leased:
    """Return the lease without the mail's content if that is large: nobody reads it again, and the message has its own."""
    mail = leased.mail
    return leased if mail.size <= _LARGE else replace(leased, mail=replace(mail, payload=b"", contents=()))


def _opened(mail: Mail, codec: Decoder, rows: Rows | None) -> tuple[EmailMessage, tuple[str, ...]] | Settled | Withheld:
    """Return a mail's message and recipients, or what there is to say without one."""
    try:
        message = _row(mail, rows) if mail.is_row else _decoded(mail, codec)
        return message, tuple(address.envelope_recipients(message))
    except CodecError as error:
        return Settled(broken=str(error))
    except Withheld as withheld:
        return withheld
    except Unwanted:
        return Settled(unwanted=SUPPRESSED)
    except Unfit as error:
        return Settled((error.recipient,), {error.recipient: Outcome(OutcomeClass.REJECTED, None, error.reason)})
    except SpoolUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a payload does to us, the mails beside it go on
        return Settled(broken=f"cannot be read: {type(error).__name__}")


def _row(mail: Mail, rows: Rows | None) -> EmailMessage:
    if rows is None:
        raise CodecError("it is a row of a bulk, and nothing here reads rows")
    return rows.message(mail)


def _decoded(mail: Mail, codec: Decoder) -> EmailMessage:
    if not mail.contents:
        return codec.decode(mail.payload)
    blobs: list[bytes] = []
    for content in mail.contents:
        if content.stored is None:
            raise CodecError(f"a part of it is lost: content {content.name[:12]} is not in the spool")
        blobs.append(content.stored)
    return codec.decode_parts(mail.payload, blobs)
