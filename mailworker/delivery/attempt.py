"""One mail in the hands of a worker, from the claim to the send: what is to be sent, to whom, with which login.

Preparing is a total step: it gives something to send, or the outcomes that make sending needless. It never raises for
what a mail contains.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from mailworker.delivery import policy
from mailworker.errors import CodecError
from mailworker.mail import address
from mailworker.outcome import Outcome, OutcomeClass, Reply
from mailworker.spool.base import Leased

if TYPE_CHECKING:
    from mailworker.delivery.connections import Login
    from mailworker.mail.message import EmailMessage


class Decoder(Protocol):
    """What the pipeline needs of the codec."""

    def decode(self, payload: bytes) -> EmailMessage:
        """Return the message that the bytes hold; CodecError if they hold none."""


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """A message ready to be sent for one lease.

    Attributes:
        leased: the mail and its lease.
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
    """

    recipients: tuple[str, ...] = ()
    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    broken: str = ""


def prepare(leased: Leased, codec: Decoder, retry: policy.RetryPolicy) -> Attempt | Settled:
    """Make an attempt of a leased mail.

    Args:
        leased: the mail as it was claimed.
        codec: opens its payload.
        retry: how often a mail in doubt may be sent again.

    Returns:
        The attempt, or what settles the mail without one.
    """
    try:
        message = codec.decode(leased.mail.payload)
        recipients = tuple(address.envelope_recipients(message))
    except CodecError as error:
        return Settled(broken=str(error))
    except Exception as error:  # noqa: BLE001 - whatever a payload does to us, the mails beside it go on
        return Settled(broken=f"cannot be read: {type(error).__name__}")
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
    return Attempt(leased, message, recipients, getattr(message, "relay_login", None))


def blame(backend: object, error: BaseException) -> str:
    """Say which backend raised what, and where, without the text of the exception: it may hold an address or a body.

    Args:
        backend: whose `send_messages` raised.
        error: what it raised.
    """
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
    return f"{type(backend).__module__}.{type(backend).__qualname__} raised {type(error).__name__}{where}"


def from_exception(error: BaseException, recipients: tuple[str, ...], backend: object = None) -> dict[str, Outcome]:
    """Read the outcome of each recipient from what a backend that is not ours raised (DESIGN §9, last row).

    Transient, unless it is an SMTP 5xx or a ValueError: nobody knows how far a foreign backend had come.

    Args:
        error: the exception.
        recipients: those that the message was meant for.
        backend: whose `send_messages` raised it.
    """
    refused = getattr(error, "recipients", None)
    if isinstance(refused, dict) and refused:
        known = {r: _outcome(*reply) for r, reply in refused.items() if isinstance(reply, tuple) and len(reply) == 2}
        rest = Outcome(OutcomeClass.DEFERRED, None, type(error).__name__)
        return {r: known.get(r, rest) for r in recipients}
    code = getattr(error, "smtp_code", None)
    if isinstance(code, int) and code > 0:
        return dict.fromkeys(recipients, _outcome(code, getattr(error, "smtp_error", b"")))
    kind = OutcomeClass.REJECTED if isinstance(error, ValueError) else OutcomeClass.DEFERRED
    return dict.fromkeys(recipients, Outcome(kind, None, blame(backend, error)))


def _outcome(code: object, text: object) -> Outcome:
    shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    shown = "".join(c if c.isprintable() else " " for c in shown)[:500]
    if not isinstance(code, int):
        return Outcome(OutcomeClass.DEFERRED, None, shown)
    kind = OutcomeClass.REJECTED if 500 <= code < 600 and code != 552 else OutcomeClass.DEFERRED
    return Outcome(kind, Reply(code, shown), "")
