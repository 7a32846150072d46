from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailworker.bulk.schedule import HORIZON, Schedule, day_named, parse_schedule

ZONES = sorted(available_timezones() - {"localtime", "Factory"})

#: Monday.
MONDAY = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def local(pairs, zone):
    return [
        tuple(datetime.fromtimestamp(at, ZoneInfo(zone)).strftime("%a %d.%m. %H:%M") for at in pair) for pair in pairs
    ]


def test_hours_of_every_day_are_windows_of_absolute_time():
    windows = parse_schedule("08:00-20:00 Europe/Berlin").windows(MONDAY.timestamp())
    assert local(windows[:3], "Europe/Berlin") == [
        ("Mon 30.11. 13:00", "Mon 30.11. 20:00"),  # cut at now
        ("Tue 01.12. 08:00", "Tue 01.12. 20:00"),
        ("Wed 02.12. 08:00", "Wed 02.12. 20:00"),
    ]
    assert windows[-1][1] > (MONDAY + timedelta(days=729)).timestamp()


@pytest.mark.parametrize(
    ("days", "meant"),
    [
        ("mon-fri", {0, 1, 2, 3, 4}),
        ("Mon,Wed,Fri", {0, 2, 4}),
        ("sat, sun", {5, 6}),
        ("fri-mon", {4, 5, 6, 0}),
        ("tuesday", {1}),
        ("mon-wed,sat", {0, 1, 2, 5}),
    ],
)
def test_days_are_ranges_and_lists(days, meant):
    assert parse_schedule(f"{days} 8:00-20:00 UTC").days == meant


def test_a_window_over_midnight_belongs_to_the_day_on_which_it_opens():
    windows = parse_schedule("mon,fri 22:00-06:00 Europe/Berlin").windows(MONDAY.timestamp())
    assert local(windows[:3], "Europe/Berlin") == [
        ("Mon 30.11. 22:00", "Tue 01.12. 06:00"),
        ("Fri 04.12. 22:00", "Sat 05.12. 06:00"),
        ("Mon 07.12. 22:00", "Tue 08.12. 06:00"),
    ]


def test_windows_that_touch_are_one():
    (window,) = parse_schedule("00:00-24:00 UTC").windows(MONDAY.timestamp())
    assert window == (MONDAY.timestamp(), (MONDAY + HORIZON).timestamp())


def test_the_hours_keep_to_the_clock_when_it_is_put_forward_and_back():
    def seconds(text, day):
        opens, closes = parse_schedule(f"{text} Europe/Berlin").windows(datetime.fromisoformat(day).timestamp())[0]
        return datetime.fromtimestamp(opens, UTC).strftime("%H:%M"), (closes - opens) / 3600

    assert seconds("08:00-20:00", "2026-03-28T00:00+01:00") == ("07:00", 12)
    assert seconds("08:00-20:00", "2026-03-29T00:00+01:00") == ("06:00", 12)
    # The hour from 2 to 3 is not there on this night,
    assert seconds("00:00-06:00", "2026-03-29T00:00+01:00") == ("23:00", 5)
    # and comes twice on this one.
    assert seconds("00:00-06:00", "2026-10-25T00:00+02:00") == ("22:00", 7)
    opens = parse_schedule("02:30-02:45 Europe/Berlin").windows(datetime(2026, 10, 24, 23, tzinfo=UTC).timestamp())
    assert [datetime.fromtimestamp(at, UTC).strftime("%d %H:%M") for at, _ in opens[:3]] == [
        "25 00:30",
        "25 01:30",
        "26 01:30",
    ]
    # To the second, where the clock jumps into the window and where it goes back to before it.
    jump, back = datetime(2026, 3, 29, 1, tzinfo=UTC).timestamp(), datetime(2026, 10, 25, 1, tzinfo=UTC).timestamp()
    assert parse_schedule("02:30-05:00 Europe/Berlin").windows(jump - 1800)[0] == (jump, jump + 2 * 3600)
    assert parse_schedule("02:30-05:00 Europe/Berlin").windows(back - 3600)[0] == (back - 1800, back)
    skipped = parse_schedule("02:30-02:45 Europe/Berlin").windows(datetime(2026, 3, 28, 23, tzinfo=UTC).timestamp())
    assert datetime.fromtimestamp(skipped[0][0], UTC).strftime("%d %H:%M") == "30 00:30"


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, 24 * 60 - 1),
    st.integers(1, 24 * 60 - 1),
    st.integers(1_420_070_400, 2_051_222_400),  # 2015 to 2035
    st.data(),
)
def test_a_moment_is_in_a_window_if_the_clock_shows_a_time_inside_it(zone, days, opens, length, begin, data):
    schedule = Schedule(
        frozenset(days), timedelta(minutes=opens), timedelta(minutes=(opens + length) % (24 * 60)), ZoneInfo(zone)
    )
    windows = schedule.windows(begin)
    assert windows
    assert all(a < b for a, b in windows)
    assert all(b < c for (_, b), (c, _) in pairwise(windows))
    assert windows[0][0] >= begin - 1e-5
    # Anywhere, and where it is most easily wrong: at the edges.
    edge = data.draw(st.sampled_from(windows))
    somewhere = data.draw(st.floats(0, HORIZON.total_seconds() - 1))
    for at in (begin + somewhere, edge[0], edge[0] + 1, edge[1] - 1, edge[1], edge[0] - 1):
        if begin <= at < begin + HORIZON.total_seconds() - 1:
            assert schedule.is_open(at) == any(a <= at < b for a, b in windows), at


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'' is no window of time: write for instance"),
        ("8-20 Europe/Berlin", "is no window of time"),
        ("08:00-20:00", "is no window of time"),
        ("08:00-20:00 Europe/Berlin please", "is no window of time"),
        ("08:00-08:00 UTC", "closes when it opens"),
        ("24:00-08:00 UTC", "opens at 24:00"),
        ("08:00-25:00 UTC", "has the time 25:00, which no clock shows"),
        ("08:60-20:00 UTC", "has the time 08:60"),
        ("mon-fry 08:00-20:00 UTC", "has the day 'fry': expected some of mon, tue"),
        ("mo 08:00-20:00 UTC", "has the day 'mo'"),
        ("08:00-20:00 Europe/Berlim", "there is no time zone 'Europe/Berlim': expected one such as Europe/Berlin"),
        ("08:00-20:00 europe/berlin", "did you mean Europe/Berlin?"),
        ("08:00-20:00 Europe", "there is no time zone 'Europe'"),
        ("08:00-20:00 ../zone", "there is no time zone '../zone'"),
    ],
)
def test_what_is_no_window_is_one_clear_error(text, said):
    with pytest.raises(ValueError) as error:
        parse_schedule(text)
    assert said in str(error.value)


def test_days_are_named_in_full_or_by_their_first_letters():
    assert [day_named(name) for name in ("mon", "Tues", "WEDNESDAY", "mo", "", "mondays")] == [
        0,
        1,
        2,
        None,
        None,
        None,
    ]
