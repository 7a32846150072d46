"""When the mails of a bulk may go: the hours of a day in one time zone, as absolute times for the spool.

A window is meant as the zone's clocks show it: it is open at a moment if the clock then shows a time inside it. So an hour that
a clock skips is in no window, and one that it shows twice is in its window twice. A window over midnight belongs to
the day on which it opens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

#: Names of the days as people write them, Monday first.
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

#: How far ahead windows are told: no list of recipients is good for longer.
HORIZON = timedelta(days=731)

#: Days, all of them if none are named; from; to; zone.
_WINDOW = re.compile(
    r"(?:(?P<days>[a-z]+(?:\s*[-,]\s*[a-z]+)*)\s+)?"
    r"(?P<opens>\d{1,2}:\d\d)\s*-\s*(?P<closes>\d{1,2}:\d\d)\s+(?P<zone>\S+)",
    re.IGNORECASE | re.ASCII,
)

_DAY = timedelta(days=1)
_NO_TIME = timedelta()

#: Between two looks at a zone's offset from UTC: none changes it twice in so little time.
_LOOK = timedelta(hours=6)

_SECOND = timedelta(seconds=1)

_EXPECTED = 'write for instance "08:00-20:00 Europe/Berlin" or "mon-fri 08:00-20:00 Europe/Berlin"'


@dataclass(frozen=True, slots=True)
class Schedule:
    """The hours in which mails may go.

    Attributes:
        days: on which a window opens, 0 = Monday.
        opens: the time of day, as a length of time since midnight by the clock.
        closes: the same; not after `opens` if it is a time of the next day.
        zone: whose clocks show these times.
    """

    days: frozenset[int]
    opens: timedelta
    closes: timedelta
    zone: ZoneInfo

    def is_open(self, at: float) -> bool:
        """Tell whether mails may go at a moment, in seconds since the epoch."""
        shown = datetime.fromtimestamp(at, self.zone).replace(tzinfo=None)
        midnight = shown.replace(hour=0, minute=0, second=0, microsecond=0)
        return any(self._shows(shown, day) for day in (midnight, midnight - _DAY))

    def windows(self, now: float) -> tuple[tuple[float, float], ...]:
        """Return the windows of the next two years, each from and to, in order and apart from each other.

        Args:
            now: seconds since the epoch; nothing before it is told.
        """
        found: list[tuple[float, float]] = []
        for opens, closes in self._pieces(now):
            if found and opens <= found[-1][1]:
                found[-1] = (found[-1][0], max(found[-1][1], closes))
            else:
                found.append((opens, closes))
        return tuple(found)

    def _shows(self, shown: datetime, day: datetime) -> bool:
        """Tell whether a clock that shows this is inside the window that opens on that day."""
        return day.weekday() in self.days and self.opens <= shown - day < self._length_to_close

    @property
    def _length_to_close(self) -> timedelta:
        return self.closes if self.closes > self.opens else self.closes + _DAY

    def _pieces(self, now: float) -> Iterator[tuple[float, float]]:
        """Yield the windows, cut where the offset of the zone changes."""
        begin = datetime.fromtimestamp(now, UTC)
        for start, end, offset in _offsets(self.zone, begin, begin + HORIZON):
            # By the clock of this piece: it goes on evenly from its start to its end.
            first, last = start + offset, end + offset
            day = first.replace(hour=0, minute=0, second=0, microsecond=0) - _DAY
            while day <= last:
                if day.weekday() in self.days:
                    opens, closes = max(first, day + self.opens), min(last, day + self._length_to_close)
                    if opens < closes:
                        yield (opens - offset).timestamp(), (closes - offset).timestamp()
                day += _DAY


def parse_schedule(text: str) -> Schedule:
    """Read a window such as "08:00-20:00 Europe/Berlin", "mon-fri 08:00-20:00 Europe/Berlin" or "sat,sun 22:00-06:00 UTC".

    Raises:
        ValueError: it is none; the text says why.
    """
    found = _WINDOW.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no window of time: {_EXPECTED}")
    opens, closes = _time(text, found["opens"]), _time(text, found["closes"])
    if opens == closes:
        raise ValueError(f"{text!r} closes when it opens: leave it out for the whole day, or {_EXPECTED}")
    if opens == _DAY:
        raise ValueError(f"{text!r} opens at 24:00: write 00:00 for the beginning of a day")
    return Schedule(_days(text, found["days"]), opens, closes, zone_of(found["zone"]))


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its name.

    Raises:
        ValueError: there is none of that name.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # A folder of zones is an OSError, and a path out of it a ValueError.
        pass
    close = {zone.casefold(): zone for zone in _zones()}.get(name.casefold())
    hint = f"did you mean {close}?" if close else "expected one such as Europe/Berlin, America/New_York or UTC"
    raise ValueError(f"there is no time zone {name!r}: {hint}")


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    from zoneinfo import available_timezones

    return frozenset(available_timezones())


def _time(text: str, shown: str) -> timedelta:
    hours, minutes = map(int, shown.split(":"))
    found = timedelta(hours=hours, minutes=minutes)
    if minutes > 59 or found > _DAY:
        raise ValueError(f"{text!r} has the time {shown}, which no clock shows: expected 00:00 to 24:00")
    return found


def _days(text: str, written: str | None) -> frozenset[int]:
    if written is None:
        return frozenset(range(7))
    days: set[int] = set()
    for part in written.split(","):
        first, dash, last = (each.strip() for each in part.partition("-"))
        begin, end = _day(text, first), _day(text, last if dash else first)
        # Over the end of the week: fri-mon.
        days.update((begin + n) % 7 for n in range((end - begin) % 7 + 1))
    return frozenset(days)


def _day(text: str, name: str) -> int:
    found = day_named(name)
    if found is None:
        raise ValueError(f"{text!r} has the day {name!r}: expected some of {', '.join(DAYS)}")
    return found


def day_named(name: str) -> int | None:
    """Return the day of the week with an English name, in full or short ("tue", "tues", "Tuesday"); 0 = Monday."""
    full = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
    given = name.lower()
    return next((n for n, day in enumerate(full) if len(given) >= 3 and day.startswith(given)), None)


def _offsets(zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[tuple[datetime, datetime, timedelta]]:
    """Yield the stretches of time in which a zone has one offset from UTC, in order, without gaps."""
    start, offset, at = begin, _offset(zone, begin), begin
    while at < end:
        following = min(at + _LOOK, end)
        if _offset(zone, following) != offset:
            changes = _change(zone, at, following)
            yield start, changes, offset
            start, offset = changes, _offset(zone, changes)
        at = following
    yield start, end, offset


def _change(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    """Return the second with which the offset changes between two moments."""
    offset = _offset(zone, before)
    low, high = before, after
    while high - low > _SECOND:
        middle = low + (high - low) / 2
        low, high = (middle, high) if _offset(zone, middle) == offset else (low, middle)
    # Zones change at whole seconds, and one lies between the two.
    return high.replace(microsecond=0)


def _offset(zone: ZoneInfo, at: datetime) -> timedelta:
    return at.astimezone(zone).utcoffset() or _NO_TIME
