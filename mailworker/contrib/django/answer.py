"""What anymail's backends say of each recipient: `message.anymail_status`, which stays on the message.

anymail raises only where nobody at all was taken; who was refused beside others stands there alone. Of a backend that leaves
no such status nothing is said here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailworker.outcome import Outcome, OutcomeClass

#: anymail's words that mean no; "unknown" and None are a service that took the message and said nothing of the recipient.
_REFUSED = {"invalid": OutcomeClass.REJECTED, "rejected": OutcomeClass.REJECTED, "failed": OutcomeClass.DEFERRED}


def answer(message: Any, recipients: tuple[str, ...], error: BaseException | None) -> Mapping[str, Outcome] | None:
    """Return the outcomes that a message tells of after it was sent, None if it tells of none.

    Args:
        message: what the backend was given.
        recipients: of its envelope.
        error: what the backend raised; None = nothing.
    """
    status = getattr(message, "anymail_status", None)
    if status is None:
        return None
    known = {str(address).lower(): str(each.status) for address, each in status.recipients.items()}
    if known and (error is None or _is_of_anymail(error, "AnymailRecipientsRefused")):
        return {each: _outcome(known.get(each.lower(), "unknown")) for each in recipients}
    if _is_of_anymail(error, "AnymailSerializationError"):
        return _rejected(recipients, "anymail cannot put a value of it into a request")
    if error is None and not known:
        return _rejected(recipients, "a receiver of anymail's pre_send cancelled it")
    return None


def _outcome(status: str) -> Outcome:
    kind = _REFUSED.get(status, OutcomeClass.ACCEPTED)
    return Outcome(kind, None, f"the sending service says {status!r}")


def _rejected(recipients: tuple[str, ...], why: str) -> dict[str, Outcome]:
    return dict.fromkeys(recipients, Outcome(OutcomeClass.REJECTED, None, why))


def _is_of_anymail(error: BaseException | None, name: str) -> bool:
    return any(kind.__module__ == "anymail.exceptions" and kind.__name__ == name for kind in type(error).__mro__)
