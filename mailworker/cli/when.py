"""Moments and lengths of time as people type them: `2026-12-24T18:00`, `tuesday 9:00 Europe/Berlin`, `+2h`, `10m`, `90`.

A moment without a time zone is meant in this machine's, as every clock on it shows. A time that a clock skips, or shows twice, when
it is put forward or back, is no moment: the text says so, and asks for another.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any

import click

_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?[wdhms])+", re.IGNORECASE | re.ASCII)
_PIECE = re.compile(r"(\d+(?:\.\d+)?)([wdhms])", re.IGNORECASE | re.ASCII)
_SECONDS = re.compile(r"\d+(?:\.\d+)?", re.ASCII)
#: A day, a time, and perhaps a zone: `tuesday 9:00 Europe/Berlin`, `2026-12-01 09:00 Europe/Berlin`.
_DAY_AND_TIME = re.compile(
    r"(?P<day>[a-z]+|\d{4}-\d\d-\d\d)(?:\s+|(?<=\d)T)(?P<time>\d{1,2}:\d\d(?::\d\d)?)(?:\s+(?P<zone>[a-z]\S*))?",
    re.IGNORECASE | re.ASCII,
)

_DAY = timedelta(days=1)


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


class BadMoment(ValueError):  # noqa: N818 - a verdict on a text
    """Raised when a text says a moment that there is not, or is not clear; the text is a sentence for people."""


class Moment(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on only
    """A moment: ISO 8601, a day with a time and perhaps a zone, or a length of time behind a plus."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Read one."""
        if isinstance(value, datetime):
            return value
        try:
            found = parse_moment(str(value), datetime.now(UTC))
        except BadMoment as error:
            self.fail(f"{error}.", param, ctx)
        if found is None:
            self.fail(
                f"{value!r} is no moment: write 2026-12-24T18:00, with a zone 2026-12-24T18:00+01:00, 'tuesday 9:00 "
                "Europe/Berlin', 'tomorrow 9:00', or +2h.",
                param,
                ctx,
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
        try:
            # Not `or`: no time at all is a length of time too.
            found = length if (length := parse_duration(text)) is not None else parse_moment(text, datetime.now(UTC))
        except BadMoment as error:
            self.fail(f"{error}.", param, ctx)
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


def parse_moment(text: str, now: datetime) -> datetime | None:
    """Return the moment that a text says, with a time zone; None if it says none.

    Args:
        text: ISO 8601; or a day (`2026-12-24`, `tuesday`, `today`, `tomorrow`) with a time, and perhaps the name of a zone; or
            `+` and a length of time. A weekday is the next one on which that time is still to come.
        now: from which the days and lengths count.

    Raises:
        BadMoment: there is no such zone; the zone's clocks skip that time, or show it twice.
    """
    text = text.strip()
    try:
        if text.startswith("+"):
            length = parse_duration(text[1:].strip())
            return None if length is None else now + length
        found = _DAY_AND_TIME.fullmatch(text)
        if found is not None:
            return _on_day(found, now)
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo is not None else _placed(moment, None)
    except BadMoment:
        raise
    except (ValueError, OverflowError):
        return None


def _on_day(found: re.Match[str], now: datetime) -> datetime | None:
    from mailworker.bulk.schedule import day_named, zone_of

    try:
        zone = zone_of(found["zone"]) if found["zone"] else None
    except ValueError as error:
        raise BadMoment(str(error)) from None
    name = found["day"].lower()
    at = time.fromisoformat(found["time"].rjust(len("00:00:00" if found["time"].count(":") > 1 else "00:00"), "0"))
    today = now.astimezone(zone).date()
    named = {"today": today, "tomorrow": today + _DAY}
    weekday = day_named(name)
    if name in named:
        return _placed(datetime.combine(named[name], at), zone)
    if weekday is None:
        return _placed(datetime.combine(date.fromisoformat(name), at), zone)
    first = datetime.combine(today + (weekday - today.weekday()) % 7 * _DAY, at)
    # By what the clock shows: a time that it skips today is told, and not put off for a week.
    return _placed(first if first > now.astimezone(zone).replace(tzinfo=None) else first + 7 * _DAY, zone)


def _placed(shown: datetime, zone: tzinfo | None) -> datetime:
    """Return when the clocks of a zone, or of this machine, show a date and time."""
    first, second = (shown.replace(fold=fold, tzinfo=zone) for fold in (0, 1))
    if zone is None:
        first, second = first.astimezone(), second.astimezone()
    if first.utcoffset() == second.utcoffset():
        return first
    where = f" in {zone}" if zone is not None else ""
    is_skipped = first.astimezone(UTC).astimezone(first.tzinfo).replace(tzinfo=None) != shown
    what = "is skipped" if is_skipped else "comes twice"
    raise BadMoment(
        f"{shown:%Y-%m-%d %H:%M}{where} {what}, since the clocks change that night: name another time, or write the "
        f"offset, such as {shown:%Y-%m-%dT%H:%M}+01:00"
    )
