"""Moments and lengths of time as people type them: `2026-12-24T18:00`, `10m`, `1h30m`, `90`.

A moment without a time zone is meant in this machine's, as every clock on it shows.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import click

_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[wdhms])+", re.IGNORECASE | re.ASCII)
_PIECE = re.compile(r"(\d+(?:\.\d+)?)([wdhms])", re.IGNORECASE | re.ASCII)
_SECONDS = re.compile(r"\d+(?:\.\d+)?", re.ASCII)


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on only
    """A length of time: seconds, or numbers with the units w, d, h, m, s."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Read one."""
        if isinstance(value, timedelta):
            return value
        found = parse_duration(str(value))
        if found is None:
            self.fail(f"{value!r} is no length of time: write seconds, or 90s, 10m, 1h30m, 2d.", param, ctx)
        return found


class Moment(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on only
    """A moment in ISO 8601."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read one."""
        if isinstance(value, datetime):
            return value
        found = parse_moment(str(value))
        if found is None:
            self.fail(
                f"{value!r} is no moment: write 2026-12-24T18:00, or with a zone 2026-12-24T18:00+01:00.", param, ctx
            )
        return found


class DurationOrMoment(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on only
    """Either of the two, and more than no time at all."""

    name = "duration or moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta | datetime:
        """Read one."""
        if isinstance(value, timedelta | datetime):
            return value
        text = str(value)
        # Not `or`: no time at all is a length of time too.
        found = length if (length := parse_duration(text)) is not None else parse_moment(text)
        if found == timedelta():
            self.fail(f"{value!r} is over at once: write more than that, like 2h, or a moment to come.", param, ctx)
        if found is None:
            self.fail(
                f"{value!r} is neither: write a length of time like 2h, or a moment like 2026-12-24T18:00.", param, ctx
            )
        return found


def parse_duration(text: str) -> timedelta | None:
    """Return the length of time that a text says, None if it says none."""
    try:
        if _SECONDS.fullmatch(text):
            return timedelta(seconds=float(text))
        if not _DURATION.fullmatch(text):
            return None
        return sum(
            (timedelta(**{_UNITS[unit.lower()]: float(number)}) for number, unit in _PIECE.findall(text)), timedelta()
        )
    except OverflowError:
        return None


def parse_moment(text: str) -> datetime | None:
    """Return the moment that a text says, with a time zone; None if it says none."""
    try:
        found = datetime.fromisoformat(text)
        return found if found.tzinfo is not None else found.astimezone()
    except (ValueError, OverflowError):
        return None
