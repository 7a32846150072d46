from __future__ import annotations

import time

import pytest

from mailworker.cli.bulk.standing import Phase, standing
from mailworker.spool.base import MailerState
from mailworker.spool.bulk import BulkGate, Timetable
from mailworker.spool.record import State
from tests.cli.bulk.made_up import BULK, NOW, bulk


@pytest.fixture(autouse=True)
def in_utc(monkeypatch):
    """Let this machine's clock be one in UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


WINDOWS = ((NOW + 3600 * 4, NOW + 3600 * 6),)


@pytest.mark.parametrize(
    ("made", "phase", "text", "is_trouble"),
    [
        (BULK, Phase.SENDING, "sending", False),
        (bulk(gate=BulkGate.FILLING, last_row_at=NOW - 5), Phase.FILLING, "its list comes in; the gate opens", False),
        (
            bulk(gate=BulkGate.FILLING, last_row_at=NOW - 700),
            Phase.FILLING,
            "its list has ended before its last row, 12 min ago; nothing goes",
            True,
        ),
        (bulk(gate=BulkGate.PAUSED), Phase.PAUSED, "paused", True),
        (bulk(gate=BulkGate.PAUSED, reason="lunch"), Phase.PAUSED, "paused: lunch", True),
        (
            bulk(gate=BulkGate.PAUSED, reason="51 rejected", has_stopped_itself=True),
            Phase.PAUSED,
            "paused by itself: 51 rejected",
            True,
        ),
        (
            bulk(gate=BulkGate.CANCELLED, states={State.CANCELLED: 1234}),
            Phase.CANCELLED,
            "cancelled: 1,234 mails taken back",
            False,
        ),
        (bulk(plan={"due_at": NOW + 7200}), Phase.WAITING, "waits for its time: 2026-11-26 22:00:00 UTC, in 2 h", False),
        (
            bulk(plan={"timetable": Timetable(windows=WINDOWS)}),
            Phase.WAITING,
            "waits for its hours: 2026-11-27 00:00:00 UTC, in 4 h",
            False,
        ),
        (
            bulk(plan={"due_at": NOW + 7200, "timetable": Timetable(windows=WINDOWS)}),
            Phase.WAITING,
            "waits for its hours: 2026-11-27 00:00:00 UTC, in 4 h",
            False,
        ),
        (
            bulk(plan={"timetable": Timetable(windows=((NOW - 5, NOW - 1),))}),
            Phase.WAITING,
            "the last of its hours are over",
            True,
        ),
        (
            bulk(states={State.SENT: 900}, ended_at=NOW - 240),
            Phase.FINISHED,
            "finished 2026-11-26 19:56:00 UTC, 4 min ago",
            False,
        ),
        (bulk(states={State.SENT: 898, State.HELD: 2}), Phase.FINISHED, "finished, but for 2 mails held in doubt", True),
        (bulk(states={}, rows=0, suppressed=0), Phase.FINISHED, "finished: no row has come in; a list that can be sent may be started by this name", False),
        (bulk(states={State.DUE: 900}), Phase.SENDING, "open, and none has gone yet", True),
        (bulk(states={State.DUE: 900}, filled_at=NOW - 5, plan={"due_at": NOW - 9}), Phase.SENDING, "sending", False),
    ],
)  # fmt: skip
def test_a_bulk_says_what_it_does_and_what_holds_it_back(made, phase, text, is_trouble):
    found = standing(made)
    assert (found.phase, found.is_trouble) == (phase, is_trouble)
    assert found.text.startswith(text)
    assert bool(found.advice) == is_trouble


@pytest.mark.parametrize(
    ("made", "advice"),
    [
        (bulk(gate=BulkGate.FILLING, last_row_at=NOW - 700), "start it again as it was"),
        (bulk(gate=BulkGate.PAUSED), "`mailworker bulk resume news-12` lets it go on"),
        (bulk(gate=BulkGate.PAUSED, plan={"name": "it's"}), """`mailworker bulk resume 'it'"'"'s'` lets"""),
        (bulk(gate=BulkGate.PAUSED, has_stopped_itself=True), "`mailworker bulk report news-12 --failed` tells whom"),
        (bulk(states={State.DUE: 900}), "is a worker running (`mailworker health`)?"),
        (bulk(states={State.HELD: 9}), "`mailworker bulk retry-failed news-12` tries them again"),
    ],
)
def test_where_a_person_has_to_do_something_it_says_what(made, advice):
    assert advice in standing(made).advice


def test_a_mailer_that_is_paused_holds_its_bulks_back():
    found = standing(BULK, MailerState(paused_by_person=True, reason="moving"))
    assert found.text == "waits for its mailer, which is paused by a person: moving"
    assert found.advice == "`mailworker resume relay` starts it again"
    found = standing(BULK, MailerState(paused_until=NOW + 60, failures=1, reason="connection refused"))
    assert found.text.startswith(
        "waits for its mailer, which is paused by its breaker (trouble) until 2026-11-26 20:01:00"
    )
    assert not found.is_trouble
    assert standing(BULK, MailerState()).text == "sending"
