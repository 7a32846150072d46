"""The cargo of a `deliver` task: mail records to plain JSON values and back.

Payloads are the codec's bytes in base64. With encryption keys the whole record but its id travels sealed, since a
ledger holds addresses and replies. What cannot be read is returned as it came, never dropped.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mailworker.errors import CodecError
from mailworker.lane import Lane
from mailworker.mail.sealing import Sealer
from mailworker.outcome import Outcome
from mailworker.spool.record import Ledger, Mail

#: Layout of the cargo. One task name for ever, the version in the payload (facts: unknown tasks are dropped by Celery).
VERSION = 1

#: A cargo of no mails.
EMPTY: Mapping[str, Any] = {"v": VERSION, "mails": []}


@dataclass(frozen=True, slots=True)
class Broken:
    """An entry that holds no mail that we can read.

    Attributes:
        entry: the entry as it came.
        reason: why, without any of its content.
    """

    entry: Any
    reason: str


def pack(mails: Iterable[Mail], sealer: Sealer) -> dict[str, Any]:
    """Return the task's argument for these mails.

    Args:
        mails: what is to travel.
        sealer: encrypts if it has keys.
    """
    return {"v": VERSION, "mails": [_pack_one(mail, sealer) for mail in mails]}


def unpack(cargo: Any, sealer: Sealer) -> tuple[list[Mail], list[Broken]]:
    """Return the mails of a cargo, and what is none.

    Args:
        cargo: the task's argument, whatever it is.
        sealer: decrypts.
    """
    if not isinstance(cargo, Mapping) or cargo.get("v") != VERSION or not isinstance(cargo.get("mails"), list):
        return [], [Broken(cargo, f"the task's cargo is not of version {VERSION}")]
    mails: list[Mail] = []
    broken: list[Broken] = []
    for entry in cargo["mails"]:
        try:
            mails.append(_unpack_one(entry, sealer))
        except CodecError as error:
            broken.append(Broken(entry, str(error)))
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            broken.append(Broken(entry, f"the entry is no mail record: {type(error).__name__}"))
    return mails, broken


def ids(cargo: Any) -> list[str]:
    """Return the mail ids that a cargo names, as far as it can be read without keys."""
    entries = cargo.get("mails") if isinstance(cargo, Mapping) else None
    if not isinstance(entries, list):
        return []
    return [str(entry["id"]) for entry in entries if isinstance(entry, Mapping) and "id" in entry]


def shown(mail_ids: Sequence[str]) -> str:
    """Return what a task's repr may say of its cargo: how many mails, and which."""
    listed = ", ".join(mail_ids[:10]) + (", ..." if len(mail_ids) > 10 else "")
    return f"({len(mail_ids)} mails: {listed})"


def _pack_one(mail: Mail, sealer: Sealer) -> dict[str, Any]:
    record = {
        "payload": base64.b64encode(mail.payload).decode("ascii"),
        "mailer": mail.mailer,
        "lane": mail.lane.value,
        "created_at": mail.created_at,
        "due_at": mail.due_at,
        "expires_at": mail.expires_at,
        "fail_silently": mail.fail_silently,
        "on_in_doubt": mail.on_in_doubt,
        "group": mail.group,
        "domain": mail.domain,
        "ledger": _pack_ledger(mail.ledger),
    }
    if not sealer.has_keys:
        return {"id": mail.id, **record}
    sealed = sealer.seal(json.dumps(record, separators=(",", ":")).encode())
    return {"id": mail.id, "sealed": base64.b64encode(sealed).decode("ascii")}


def _pack_ledger(ledger: Ledger) -> dict[str, Any]:
    return {
        "outcomes": {recipient: outcome.to_json() for recipient, outcome in ledger.outcomes.items()},
        "attempts": ledger.attempts,
        "first_attempt_at": ledger.first_attempt_at,
        "snoozed": ledger.snoozed,
        "lapses": ledger.lapses,
        "in_doubt": ledger.in_doubt,
        "in_doubt_resends": ledger.in_doubt_resends,
        "reason": ledger.reason,
    }


def _unpack_one(entry: Any, sealer: Sealer) -> Mail:
    record = entry
    if "sealed" in entry:
        record = json.loads(sealer.open(base64.b64decode(entry["sealed"], validate=True)))
    return Mail(
        id=_text(entry["id"]),
        payload=base64.b64decode(record["payload"], validate=True),
        mailer=_text(record["mailer"]),
        lane=Lane(record["lane"]),
        created_at=finite(record["created_at"]),
        due_at=finite(record["due_at"]),
        expires_at=_number(record["expires_at"]),
        fail_silently=bool(record["fail_silently"]),
        on_in_doubt="hold" if record["on_in_doubt"] == "hold" else "resend",
        group=None if record["group"] is None else _text(record["group"]),
        domain=None if record["domain"] is None else _text(record["domain"]),
        ledger=_unpack_ledger(record["ledger"]),
    )


def _unpack_ledger(ledger: Mapping[str, Any]) -> Ledger:
    return Ledger(
        outcomes={_text(r): Outcome.from_json(shown) for r, shown in ledger["outcomes"].items()},
        attempts=int(ledger["attempts"]),
        first_attempt_at=_number(ledger["first_attempt_at"]),
        snoozed=finite(ledger["snoozed"]),
        lapses=int(ledger["lapses"]),
        in_doubt=bool(ledger["in_doubt"]),
        in_doubt_resends=int(ledger["in_doubt_resends"]),
        reason=_text(ledger["reason"]),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected text, got {type(value).__name__}")
    return value


def _number(value: Any) -> float | None:
    return None if value is None else finite(value)


def finite(value: Any) -> float:
    """Return a number that was read from JSON.

    Raises:
        ArithmeticError, TypeError, ValueError: it is none, or not finite.
    """
    number = float(value)
    if not math.isfinite(number):
        # JSON as Python reads it has NaN and Infinity; a mail that is due then would travel for ever.
        raise ValueError("expected a finite number")
    return number
