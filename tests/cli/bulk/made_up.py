"""Bulks that nobody has sent, as the spool would show them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mailworker.mail.bulk_note import BulkNote
from mailworker.outcome import Outcome, OutcomeClass, Reply
from mailworker.spool.bulk import Bulk, BulkError, BulkGate, Plan, Timetable
from mailworker.spool.record import State

#: Seconds since the epoch: a Thursday, 20:00 UTC.
NOW = 1_795_723_200.0

ACCEPTED, DEFERRED, REJECTED, IN_DOUBT = OutcomeClass

BULK = Bulk(
    plan=Plan(
        name="news-12",
        letter=b"",
        letter_digest="d",
        created_at=NOW - 4000,
        due_at=NOW - 3600,
        timetable=Timetable(rate=200.0, burst=20),
        note=BulkNote(template="news/march", rows="/srv/customers.csv").encode(),
    ),
    gate=BulkGate.OPEN,
    rows=1000,
    suppressed=100,
    read=1100,
    bad=30,
    last_row_at=NOW - 3900,
    filled_at=NOW - 3890,
    began_at=NOW - 100,
    states={State.DUE: 390, State.LEASED: 10, State.SENT: 495, State.DEAD: 5, State.DROPPED: 100},
    outcomes={
        "example.com": {ACCEPTED: 400, DEFERRED: 20},
        "example.net": {ACCEPTED: 95, REJECTED: 5, IN_DOUBT: 1},
    },
    errors=(
        BulkError(at=NOW - 3, domain="example.com", outcome=Outcome(DEFERRED, Reply(421, "too fast\x1b[2J", "4.7.28"))),
        BulkError(at=NOW - 30, domain="example.net", outcome=Outcome(REJECTED, None, "connection lost in RCPT")),
    ),
    now=NOW,
)


def bulk(*, plan: dict[str, Any] | None = None, **changes: Any) -> Bulk:
    """Return the bulk with some fields changed, those of its plan apart."""
    return replace(BULK, plan=replace(BULK.plan, **(plan or {})), **changes)
