from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mailworker.bulk.planning import Wish, check_fits, timetable
from mailworker.errors import BulkRefused
from mailworker.lane import Lane
from mailworker.spool.bulk import Bulk, BulkGate, Timetable

#: A Monday, in seconds since the epoch.
NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC).timestamp()

LETTER = {"letter": b"l", "letter_digest": "d", "mailer": "relay", "note": ""}


def plan(**options):
    return Wish(name="news", **options).plan(NOW, **LETTER)


def test_without_options_a_bulk_goes_at_once_in_its_own_lane():
    found = plan()
    assert (found.due_at, found.expires_at, found.lane, found.timetable) == (NOW, None, Lane.BULK, Timetable())
    assert (found.max_bounces, found.bounce_window, found.opens_at_once, found.on_in_doubt) == (
        50,
        500,
        False,
        "resend",
    )


def test_options_are_in_the_plan():
    found = plan(
        at=datetime(2026, 12, 1, 9, tzinfo=UTC), rate="200/s", between="08:00-20:00 UTC", lane="normal",
        expires=timedelta(days=3), on_in_doubt="hold", wait=False, max_bounces=0.02,
    )  # fmt: skip
    assert found.due_at == NOW + 21 * 3600
    assert found.expires_at == NOW + 3 * 86_400
    assert (found.lane, found.on_in_doubt, found.opens_at_once, found.max_bounces) == (Lane.NORMAL, "hold", True, 10)
    assert (found.timetable.rate, found.timetable.burst) == (200.0, 20)
    # The hours before its time are nobody's matter.
    assert found.timetable.windows[0] == (NOW + 21 * 3600, NOW + 32 * 3600)
    assert plan(max_bounces=None).max_bounces is None
    assert plan(delay=60).due_at == NOW + 60


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"name": ""},
            "the name of a bulk is '': expected 1 to 200 characters, all printable, such as 'newsletter-12'",
        ),
        ({"name": "  "}, "the name of a bulk is '  '"),
        ({"name": "a\nb"}, r"the name of a bulk is 'a\nb'"),
        ({"name": "x" * 201}, "the name of a bulk is 201 characters long"),
        ({"rate": "fast"}, "rate is 'fast', but must be a number of mails a second"),
        ({"between": "9 to 5"}, "'9 to 5' is no window of time"),
        ({"max_bounces": 10}, "max_bounces is 10: expected a share of the last 500 mails from 0 to 1"),
        ({"max_bounces": True}, "max_bounces is True"),
        ({"at": datetime(2026, 12, 1)}, "without a time zone"),  # noqa: DTZ001 - that is what is refused
        ({"lane": "slow"}, "lane is 'slow': expected one of high, normal, bulk"),
    ],
)
def test_what_cannot_be_meant_is_one_clear_error(options, said):
    with pytest.raises(ValueError) as error:
        Wish(**{"name": "news", **options})
    assert said in str(error.value)


def test_a_name_or_moment_of_another_type_is_a_type_error():
    with pytest.raises(TypeError, match="the name of a bulk is 5: expected text"):
        Wish(name=5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="at= and delay= are both given"):
        Wish(name="news", at=datetime.now(UTC), delay=5)


def test_a_moment_that_is_over_is_refused():
    at = datetime.fromtimestamp(NOW - 3600, UTC)
    with pytest.raises(BulkRefused, match=r"shall begin at 2026-11-30 11:00\+00:00, which is over"):
        Wish(name="news", at=at).check_moment(NOW)
    Wish(name="news", at=at + timedelta(seconds=3599)).check_moment(NOW)
    Wish(name="news").check_moment(NOW)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (
            {"gate": BulkGate.CANCELLED},
            "the bulk 'news' is cancelled, and takes no rows any more: give this one another name",
        ),
        ({"forgotten": 7}, "of the bulk 'news', 7 mails are past their retention"),
        ({"plan": {"letter_digest": "e"}}, "the bulk 'news' is known, and its mails say something else"),
        ({"plan": {"mailer": "other"}}, "goes by the mailer 'other', not 'relay'"),
        ({"plan": {"note": '{"ids": "5"}'}}, "the bulk 'news' was started with other MAILWORKER_ENCRYPTION_KEYS"),
        ({"plan": {"lane": Lane.HIGH}}, "goes by the lane 'high', not 'bulk'"),
    ],
)
def test_a_bulk_that_is_known_as_another_one_is_not_filled(known, said):
    asked = plan()
    known = {"gate": BulkGate.OPEN, **known, "plan": replace(asked, **known.get("plan", {}))}
    with pytest.raises(BulkRefused) as error:
        check_fits(Bulk(**known), asked)
    assert said in str(error.value)


def test_a_bulk_that_is_known_as_this_one_is_filled_whatever_its_times_were():
    asked = plan(rate=5, delay=100)
    for gate in (BulkGate.OPEN, BulkGate.FILLING, BulkGate.PAUSED):
        check_fits(Bulk(plan=plan(), gate=gate), asked)


def test_a_timetable_has_the_windows_from_now_on():
    assert timetable(None, None, NOW) == Timetable()
    assert timetable(10, "08:00-20:00 UTC", NOW).windows[0] == (NOW, NOW + 8 * 3600)
