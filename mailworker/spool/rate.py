"""How many mails a second: the arithmetic of a rate with a burst, pure.

It is the generic cell rate algorithm: of a rate only one number is kept, the time `full_at` at which the whole burst is
available again. Each mail moves it on by one interval. Because it is a time and no count of whole tokens, 14 mails a
second stay 14 and are not rounded to what one look a second would find.
"""

from __future__ import annotations

#: Seconds by which a claim may come late without the rate losing that time: workers are never punctual to the
#: millisecond. Never more than half an interval, so that after a pause no more than the burst goes at once.
LATENESS = 0.05

#: Seconds that count as nothing: the resolution of Redis `TIME`, and coarser than a float's at the present epoch.
TICK = 1e-6

#: `full_at` of a rate that was never used.
UNUSED = float("-inf")


def wait(full_at: float, now: float, rate: float, burst: int) -> float:
    """Return the seconds until one more mail may go, 0 if it may go now.

    Args:
        full_at: what is kept of the rate.
        now: seconds.
        rate: mails a second.
        burst: mails that may go at once, at least 1.
    """
    left = full_at - (burst - 1) / rate - now
    return left if left > TICK else 0.0


def taken(full_at: float, now: float, rate: float) -> float:
    """Return the new `full_at` after one mail has gone."""
    interval = 1.0 / rate
    return max(full_at, now - min(interval / 2.0, LATENESS)) + interval


def refunded(full_at: float, rate: float) -> float:
    """Return the new `full_at` after one mail that was let go has not gone after all."""
    return full_at - 1.0 / rate
