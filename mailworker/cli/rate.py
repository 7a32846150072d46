"""Rates as people read them: `14/s`, `100/min`, `5000/h`."""

from __future__ import annotations


def rate_shown(a_second: float) -> str:
    """Return mails a second in the unit that fits: "14/s", "1.5/min".

    Args:
        a_second: how many.
    """
    for unit, seconds in (("s", 1), ("min", 60), ("h", 3600)):
        if a_second * seconds >= 1:
            return f"{round(a_second * seconds, 2):g}/{unit}"
    return f"{round(a_second * 86_400, 2):g}/day"
