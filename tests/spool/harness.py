"""What a spool needs to be held to the contract: the harness, and the words that the suite is written in.

Time: a test never reads a clock of its own. It asks `spool.now()` and moves on with `harness.advance(seconds)`; between
two calls of `advance` the spool's clock must stand still. MemorySpool gets a clock that is handed in. A spool whose
clock is the server's lets its harness put another source in the place of that one call (for Redis: a key that the
scripts read instead of `TIME`), so that everything else is the real thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any, Protocol

from mailworker.lane import LANES, Lane
from mailworker.outcome import Outcome, OutcomeClass, Reply
from mailworker.spool.base import Leased, Limits, Spool
from mailworker.spool.record import Mail, State

#: Seconds that the suite's leases last.
LEASE = 60.0

_numbers = count(1)


class Harness(Protocol):
    """One fresh, empty spool and its clock."""

    spool: Spool

    def advance(self, seconds: float) -> None:
        """Move the spool's clock on."""

    def second_worker(self) -> Spool:
        """Return another worker's access to the same spool: another client, where it has clients."""


class OpenHarness(Protocol):
    """Opens a spool of its own for a test."""

    def __call__(self, *, limits: Mapping[str, Limits] = ..., retention: float = ...) -> Harness: ...


def new_mail(spool: Spool, **changes: Any) -> Mail:
    """Return a mail that is due now, with an id of its own."""
    fields: dict[str, Any] = {"payload": b"a message", "created_at": spool.now(), "due_at": spool.now(), **changes}
    return Mail(id=f"{next(_numbers):032x}", **fields)


def put(spool: Spool, number: int = 1, **changes: Any) -> list[Mail]:
    """Put new mails in and return them."""
    mails = [new_mail(spool, **changes) for _ in range(number)]
    assert spool.put(mails) == [True] * number
    return mails


def claim(
    spool: Spool, limit: int = 50, lanes: Iterable[Lane] = LANES, mailer: str | None = None, slot: str = ""
) -> tuple[Leased, ...]:
    return spool.claim(tuple(lanes), limit, LEASE, mailer, slot).leased


def claim_one(spool: Spool) -> Leased:
    (leased,) = claim(spool, 1)
    return leased


def claimed_ids(spool: Spool, limit: int = 50) -> list[str]:
    return [leased.mail.id for leased in claim(spool, limit)]


def ids(mails: Iterable[Mail]) -> list[str]:
    return [mail.id for mail in mails]


def state(spool: Spool, mail: Mail) -> State | None:
    status = spool.status(mail.id)
    return None if status is None else status.state


def record(spool: Spool, mail: Mail) -> Mail:
    found = spool.get(mail.id)
    assert found is not None
    return found


def accepted(*recipients: str) -> dict[str, Outcome]:
    return dict.fromkeys(recipients, Outcome(OutcomeClass.ACCEPTED, Reply(250, "queued", "2.0.0")))


def deferred(*recipients: str) -> dict[str, Outcome]:
    return dict.fromkeys(recipients, Outcome(OutcomeClass.DEFERRED, Reply(450, "try later", "4.2.0")))


def rejected(*recipients: str) -> dict[str, Outcome]:
    return dict.fromkeys(recipients, Outcome(OutcomeClass.REJECTED, Reply(550, "no such user", "5.1.1")))


def in_doubt(*recipients: str) -> dict[str, Outcome]:
    return dict.fromkeys(recipients, Outcome(OutcomeClass.IN_DOUBT, None, "connection lost after the dot"))


def let_lapse(harness: Harness, *, marked: bool = False, limit: int = 1) -> tuple[Leased, ...]:
    """Claim, mark on wish, and let the leases run out; return them."""
    leased = claim(harness.spool, limit)
    assert leased
    if marked:
        assert all(harness.spool.mark(one, LEASE) for one in leased)
    harness.advance(LEASE)
    return leased
