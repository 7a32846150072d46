"""Rates as people read them: `14/s`, `100/min`, `5000/h`."""

from __future__ import annotations

import math


def rate_shown(a_second: float) -> str:
    """Return mails a second in the unit that fits: "14/s", "1.5/min"; "5000/min", since no number of seconds' mails says it.

    Args:
        a_second: how many.
    """
    units = [(unit, a_second * seconds) for unit, seconds in (("s", 1), ("min", 60), ("h", 3600), ("day", 86_400))]
    fitting = [(unit, number) for unit, number in units if number >= 1] or units[-1:]
    digits = {"s": 1}
    short = [one for one in fitting if math.isclose(one[1], round(one[1], digits.get(one[0], 0)), rel_tol=1e-9)]
    unit, number = (short or fitting)[0]
    return f"{round(number, 2):.10g}/{unit}"
