"""Moments and lengths of time as people read them: `2026-12-24 18:00:00 CET, in 4 min`.

Moments come as seconds since the epoch and are shown in this machine's zone, with its name, as every clock on it shows.
"""

from __future__ import annotations

import time

#: Seconds of a unit, and what it is called; the largest of which there are two or more is taken.
_UNITS = ((86_400, "days"), (3600, "h"), (60, "min"))

#: Seconds that are no length of time for a person.
_NOW = 1.0


def moment(at: float, now: float) -> str:
    """Return a moment, and how far off it is.

    Args:
        at: seconds since the epoch.
        now: the same.
    """
    shown = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(at))
    if abs(at - now) < _NOW:
        return f"{shown}, now"
    return f"{shown}, in {length(at - now)}" if at > now else f"{shown}, {length(now - at)} ago"


def length(seconds: float) -> str:
    """Return a length of time in the unit that fits: "45 s", "4 min", "3 h", "12 days"."""
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
