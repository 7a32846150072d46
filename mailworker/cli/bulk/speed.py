"""How fast a bulk goes, from looks at it: over the last seconds, and over all; and when it will have ended. Pure."""

from __future__ import annotations

import math
from collections import deque

from mailworker.spool.bulk import Bulk, Timetable
from mailworker.spool.record import State

#: Seconds that count for how fast it goes now.
_LOOK_BACK = 10.0


class Speed:
    """Remembers the last looks at a bulk."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque()

    def look(self, bulk: Bulk) -> float | None:
        """Return the mails a second that were settled in the last ten seconds; None at the first look.

        Args:
            bulk: as it stands now.
        """
        looks, done = self._looks, settled(bulk)
        if looks and done < looks[-1][1]:
            looks.clear()  # some are tried again
        looks.append((bulk.now, done))
        while len(looks) > 2 and looks[1][0] <= bulk.now - _LOOK_BACK:
            looks.popleft()
        (began, at_first), (now, at_last) = looks[0], looks[-1]
        return (at_last - at_first) / (now - began) if now > began else None


def to_send(bulk: Bulk) -> int:
    """Return how many mails it has that were not suppressed from the first."""
    return bulk.rows - bulk.suppressed


def settled(bulk: Bulk) -> int:
    """Return how many of these need nothing more, without those that were taken back."""
    return max(0, to_send(bulk) - bulk.left - bulk.states.get(State.CANCELLED, 0))


def overall(bulk: Bulk) -> float | None:
    """Return the mails a second since the first one was settled; None before that."""
    if bulk.began_at is None:
        return None
    seconds = (bulk.ended_at or bulk.now) - bulk.began_at
    return settled(bulk) / seconds if seconds > 0 else None


def ends_at(bulk: Bulk, rate: float | None) -> float | None:
    """Return when the last mail will have gone at this rate; None if nobody can tell.

    Args:
        bulk: as it stands now.
        rate: mails a second, of the last time; the bulk's own bounds it.
    """
    table = bulk.plan.timetable
    rate = table.rate if rate is None else rate if table.rate is None else min(rate, table.rate)
    if not rate or not bulk.left:
        return None
    return _after(table, max(bulk.now, bulk.plan.due_at), bulk.left / rate)


def goes_at(bulk: Bulk) -> float:
    """Return when its mails may go at the earliest: not before its time, and in its hours; infinity if those are over."""
    return bulk.plan.timetable.first(max(bulk.now, bulk.plan.due_at))


def _after(table: Timetable, begin: float, seconds: float) -> float | None:
    """Return the time at which the windows will have been open for so many seconds."""
    if not table.windows:
        return begin + seconds
    for opens, closes in table.windows:
        first = max(opens, begin)
        if first >= closes:
            continue
        if first + seconds <= closes:
            return first + seconds
        seconds -= closes - first
    return None


def closes_at(bulk: Bulk) -> float | None:
    """Return when the window closes that is open now; None if none is, or it never closes."""
    found = next((closes for opens, closes in bulk.plan.timetable.windows if opens <= bulk.now < closes), math.inf)
    return None if found == math.inf else found
