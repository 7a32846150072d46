"""Whether a batch has to make way for mail in a higher lane: asked between two messages (DESIGN §8).

A password reset does not wait behind a newsletter that is claimed already. The question is asked of the spool at most
each 50 ms, and less often while making way was in vain: the spool does not know whether a gate keeps the higher mail back,
or another worker took it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import takewhile

from mailworker.lane import Lane

#: Seconds between two questions: a twentieth of a batch, and far more than a question costs.
_INTERVAL = 0.05

#: The same while it was in vain each time.
_LONGEST = 1.0


class Preemption:
    """Asks for higher mail on behalf of one batch after another.

    Args:
        has_ready: tells whether lanes may have a mail that is ready.
        clock: monotonic seconds.
    """

    def __init__(
        self, has_ready: Callable[[Sequence[Lane]], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._has_ready = has_ready
        self._clock = clock
        self._higher: tuple[Lane, ...] = ()
        self._gave_way_to: tuple[Lane, ...] = ()
        self._vain = 0
        self._asked_at = 0.0

    def started(self, lanes: Sequence[Lane], lane: Lane) -> None:
        """Note that a batch has been claimed.

        Args:
            lanes: those that were asked for, highest first.
            lane: the one that it is of.
        """
        if self._gave_way_to:
            self._vain = 0 if lane in self._gave_way_to else self._vain + 1
            self._gave_way_to = ()
        self._higher = tuple(takewhile(lambda one: one is not lane, lanes))
        self._asked_at = self._clock()

    def is_due(self) -> bool:
        """Tell whether the rest of the batch has to make way; asked before each message but the first."""
        if not self._higher:
            return False
        now = self._clock()
        if now - self._asked_at < min(_INTERVAL * 2**self._vain, _LONGEST):
            return False
        self._asked_at = now
        if not self._has_ready(self._higher):
            # It asked while nothing was there: so the next time it is no gate.
            self._vain = 0
            return False
        self._gave_way_to = self._higher
        return True
