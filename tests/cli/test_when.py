from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.cli.when import BadMoment, DurationOrMoment, Moment, parse_duration, parse_moment

#: A Saturday, before the night on which clocks in Europe are put forward.
NOW = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)


@pytest.fixture
def in_berlin(monkeypatch):
    """Let this machine's clock be one in Berlin."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("0", 0), ("1.5", 1.5), ("90s", 90), ("10m", 600), ("1h30m", 5400), ("2d", 172_800), ("1W", 604_800)],
)
def test_a_length_of_time_is_seconds_or_numbers_with_units(text, seconds):
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "m", "10x", "10 m", "-5", "1h30", "nan", "1e3", "²", "9" * 400, "9" * 20 + "w"])
def test_what_is_no_length_of_time_is_none(text):
    assert parse_duration(text) is None


@given(st.integers(0, 99), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_the_pieces_of_a_length_of_time_add_up(days, hours, minutes, seconds):
    found = parse_duration(f"{days}d{hours}h{minutes}m{seconds}s")
    assert found == timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def test_a_moment_with_a_zone_is_meant_in_that_zone():
    assert parse_moment("2026-12-24T18:00+01:00", NOW) == datetime(2026, 12, 24, 17, 0, tzinfo=UTC)
    assert parse_moment("2026-12-24T18:00Z", NOW) == datetime(2026, 12, 24, 18, 0, tzinfo=UTC)


def test_a_moment_without_a_zone_is_meant_as_this_machines_clock_shows_it():
    found = parse_moment("2026-12-24 18:00", NOW)
    assert found is not None
    assert found == datetime(2026, 12, 24, 18, 0).astimezone()
    assert found.utcoffset() is not None


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "tomorrow",
            "24.12.2026",
            "2026-13-01",
            "99999-01-01",
            "9:00",
            "today 25:00",
            "mo 9:00",
            "2026-02-30 9:00",
        ),
        *("+", "+x", "+-2h", "2h", "tomorrow 9:00 +01:00", "+99999999999d"),
    ],
)
def test_what_is_no_moment_is_none(text):
    assert parse_moment(text, NOW) is None


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("tuesday 9:00 Europe/Berlin", "2026-03-31T09:00+02:00"),
        ("Tue 09:00:30 Europe/Berlin", "2026-03-31T09:00:30+02:00"),
        # It is Saturday, 13:00 in Berlin.
        ("sat 13:01 Europe/Berlin", "2026-03-28T13:01+01:00"),
        ("sat 13:00 Europe/Berlin", "2026-04-04T13:00+02:00"),
        ("today 8:00 Europe/Berlin", "2026-03-28T08:00+01:00"),
        ("tomorrow 9:00 Europe/Berlin", "2026-03-29T09:00+02:00"),
        # It is Sunday there already.
        ("today 9:00 Pacific/Kiritimati", "2026-03-29T09:00+14:00"),
        ("2026-12-01 9:00 America/New_York", "2026-12-01T09:00-05:00"),
        ("2026-12-01T09:00 Europe/Berlin", "2026-12-01T09:00+01:00"),
        ("2026-10-25T02:30+02:00", "2026-10-25T02:30+02:00"),
        ("+2h", "2026-03-28T14:00+00:00"),
        ("+1d12h", "2026-03-30T00:00+00:00"),
    ],
)
def test_days_zones_and_lengths_of_time_are_moments(text, meant):
    assert parse_moment(text, NOW) == datetime.fromisoformat(meant)


@pytest.mark.parametrize("text", ["tomorrow 9:00", "sunday 9:00", "2026-03-29 9:00", "2026-03-29T09:00"])
def test_a_day_without_a_zone_is_meant_as_this_machines_clock_shows_it(in_berlin, text):
    assert parse_moment(text, NOW) == datetime(2026, 3, 29, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tomorrow 2:30", "2026-03-29 02:30 is skipped, since the clocks change"),
        ("2026-03-29T02:30", "2026-03-29 02:30 is skipped"),
        ("sunday 2:30 Europe/Berlin", "2026-03-29 02:30 in Europe/Berlin is skipped"),
        ("2026-10-25 02:30", "2026-10-25 02:30 comes twice"),
        ("2026-10-25T02:30 Europe/Berlin", "2026-10-25 02:30 in Europe/Berlin comes twice"),
        ("tomorrow 9:00 Berlin", "there is no time zone 'Berlin'"),
    ],
)
def test_a_time_that_is_not_there_or_not_clear_is_told(in_berlin, text, said):
    with pytest.raises(BadMoment) as error:
        parse_moment(text, NOW)
    assert said in str(error.value)
    for kind in (Moment(), DurationOrMoment()):
        with pytest.raises(click.BadParameter, match=r"is skipped|comes twice|no time zone"):
            kind.convert(text.replace("tomorrow", "2026-03-29").replace("sunday", "2026-03-29"), None, None)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("2h", timedelta(hours=2)), ("2026-12-24T18:00Z", datetime(2026, 12, 24, 18, tzinfo=UTC))],
)
def test_where_either_is_wanted_both_are_read(text, meant):
    assert DurationOrMoment().convert(text, None, None) == meant


@pytest.mark.parametrize("text", ["0", "0.0", "0h0m"])
def test_where_either_is_wanted_no_time_at_all_is_refused_as_it_was_typed(text):
    with pytest.raises(click.BadParameter, match=f"'{text}' is over at once"):
        DurationOrMoment().convert(text, None, None)
