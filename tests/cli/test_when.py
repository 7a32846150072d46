from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.cli.when import DurationOrMoment, parse_duration, parse_moment


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
    assert parse_moment("2026-12-24T18:00+01:00") == datetime(2026, 12, 24, 17, 0, tzinfo=UTC)
    assert parse_moment("2026-12-24T18:00Z") == datetime(2026, 12, 24, 18, 0, tzinfo=UTC)


def test_a_moment_without_a_zone_is_meant_as_this_machines_clock_shows_it():
    found = parse_moment("2026-12-24 18:00")
    assert found is not None
    assert found == datetime(2026, 12, 24, 18, 0).astimezone()
    assert found.utcoffset() is not None


@pytest.mark.parametrize("text", ["", "tomorrow", "24.12.2026", "2026-13-01", "99999-01-01"])
def test_what_is_no_moment_is_none(text):
    assert parse_moment(text) is None


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
