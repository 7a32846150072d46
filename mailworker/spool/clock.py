"""The spool's clock, which is the server's, told from ours while they were compared a short while ago."""

from __future__ import annotations

import math
import time

#: Seconds for which the server's clock is taken from ours, once they were compared.
CLOCK_AGE = 30.0


class ServerClock:
    """What the server's time is by our monotonic clock.

    Args:
        age: seconds after which they have to be compared again.
    """

    __slots__ = ("_age", "_at", "_read_at")

    def __init__(self, age: float = CLOCK_AGE) -> None:
        self._age = age
        self._at = 0.0
        self._read_at = -math.inf

    @property
    def is_set(self) -> bool:
        """True if they were compared lately."""
        return time.monotonic() - self._read_at <= self._age

    def set(self, told: bytes) -> float:
        """Compare them: note what the server has just told, and return it."""
        self._at = float(told)
        self._read_at = time.monotonic()
        return self._at

    def now(self) -> float:
        """Return the server's time, seconds since the epoch, from the last comparison."""
        return self._at + time.monotonic() - self._read_at
