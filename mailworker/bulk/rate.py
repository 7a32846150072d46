"""How fast a bulk goes: mails a second from what people write, and how many of them may go in one breath."""

from __future__ import annotations

from mailworker.settings import BadValue, read_rate

#: Seconds whose mails may go at once. Workers take mails by the handful, and after a pause in the traffic no more than a
#: tenth of a second's comes on top.
_BREATH = 0.1


def parse_rate(value: float | str) -> float:
    """Return mails a second.

    Args:
        value: their number, or text such as "200/s", "5000/min", "100000/h".

    Raises:
        ValueError: it is neither.
    """
    try:
        return read_rate(value)
    except BadValue as problem:
        raise ValueError(f"rate {problem}") from None


def burst_of(rate: float | None) -> int:
    """Return how many mails may go at once at this rate; 1 where there is none."""
    return 1 if rate is None else max(1, round(rate * _BREATH))
