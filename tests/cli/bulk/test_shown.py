from __future__ import annotations

import io
import json

import click
import pytest
from rich.console import Console

from mailworker.cli.bulk.lines import lines
from mailworker.cli.bulk.picture import picture
from mailworker.cli.bulk.shown import OTHERS, Shown
from mailworker.spool.bulk import BulkGate
from tests.cli.bulk.made_up import ACCEPTED, BULK, NOW, REJECTED, bulk

#: Names that programs rely on.
JSON = [
    *(
        "name",
        "phase",
        "text",
        "gate",
        "reason",
        "has_stopped_itself",
        "mailer",
        "lane",
        "template",
        "rows_from",
        "suppress",
    ),
    *("created_at", "due_at", "expires_at", "opens_at", "closes_at", "rate_limit", "max_bounces", "bounce_window"),
    *("read", "rows", "suppressed", "bad", "settled", "left", "states", "forgotten", "outcomes", "domains"),
    *("rate", "rate_overall", "ends_at", "filled_at", "began_at", "ended_at", "errors", "now"),
]

MANY = {f"d{n:02}.example": {ACCEPTED: 100 - n, REJECTED: n * 2} for n in range(40)} | {"": {ACCEPTED: 7}}


def text_of(shown):
    return click.unstyle("\n".join(lines(shown)))


def drawn(shown, height=60, width=100):
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=False).print(picture(shown, height))
    return file.getvalue()


def test_in_json_each_figure_has_a_name_that_stays():
    found = json.loads(json.dumps(Shown(BULK, None, 12.5).to_json()))
    assert list(found) == JSON
    assert (found["phase"], found["gate"], found["settled"], found["left"]) == ("sending", "open", 500, 400)
    assert found["states"] == {"due": 390, "leased": 10, "sent": 495, "dropped": 100, "dead": 5}
    assert found["outcomes"] == {"accepted": 495, "deferred": 20, "rejected": 5, "in-doubt": 1}
    assert found["domains"]["example.net"] == {"accepted": 95, "deferred": 0, "rejected": 5, "in-doubt": 1}
    assert (found["rate"], found["rate_overall"], found["ends_at"]) == (12.5, 5.0, NOW + 32)
    assert found["errors"][1] == {
        "at": NOW - 30, "domain": "example.net", "class": "rejected", "code": None, "text": "connection lost in RCPT",
    }  # fmt: skip


def test_in_json_hours_that_never_come_are_no_number_that_json_has_not():
    assert Shown(bulk(opens_at=float("inf"))).to_json()["opens_at"] is None


@pytest.mark.parametrize("show", [text_of, drawn])
def test_people_read_how_far_it_is_and_how_fast_and_where_from(show):
    said = show(Shown(BULK, None, 12.5))
    for part in (
        *("news-12", "sending", "55.6%", "500 of 900", "12.5/s now, 5.0/s since the first", "in 32 s", "at most 200/s"),
        *("1,100 rows read, 1,000 mails came in, 70 rows twice or known before, 30 bad, 100 suppressed",),
        *("390 due, 10 leased, 495 sent, 100 dropped, 5 dead", "mailer relay, lane bulk", "news/march"),
        *("/srv/customers.csv", "example.com", "in-doubt", "421 4.7.28 too fast", "connection lost in RCPT"),
    ):
        assert part in " ".join(said.split()), said
    assert "\x1b" not in said


@pytest.mark.parametrize("show", [text_of, drawn])
def test_what_has_to_be_done_stands_at_the_top(show):
    first = show(Shown(bulk(gate=BulkGate.PAUSED, reason="51 of the last 500 mails were rejected"))).splitlines()[:2]
    assert "paused: 51 of the last 500 mails were rejected" in first[0]
    assert "`mailworker bulk resume news-12` lets it go on" in first[1]


def test_the_domains_with_most_mails_are_shown_and_all_others_together():
    shown = Shown(bulk(outcomes=MANY))
    found = list(shown.domains())
    assert [domain for domain, _ in found] == [*(f"d{n:02}.example" for n in range(39, 24, -1)), OTHERS]
    assert found[-1][1] == {ACCEPTED: sum(100 - n for n in range(25)) + 7, REJECTED: sum(2 * n for n in range(25))}
    assert sum(shown.outcomes.values()) == 40 * 100 + sum(range(40)) + 7
    assert "d25.example" in text_of(shown)
    assert "d24.example" not in text_of(shown)


def test_a_picture_fits_into_a_small_terminal():
    shown = Shown(bulk(outcomes=MANY), None, 12.5)
    for height in (24, 60):
        said = drawn(shown, height, width=80)
        assert len(said.splitlines()) <= max(height, 30)
        assert max(map(len, said.splitlines())) <= 80
    assert "d37.example" in drawn(shown, 24)
    assert "d36.example" not in drawn(shown, 24)


def test_a_bulk_that_has_just_begun_can_be_shown():
    new = bulk(
        rows=0, suppressed=0, read=0, bad=0, states={}, outcomes={}, errors=(), gate=BulkGate.FILLING,
        last_row_at=None, filled_at=None, began_at=None, plan={"created_at": NOW, "note": "{"},
    )  # fmt: skip
    for show in (text_of, drawn):
        assert "its list comes in" in show(Shown(new))
        assert "0.0%" in show(Shown(new))
    assert Shown(new).to_json()["template"] == ""
