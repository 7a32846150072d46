"""How many mails a claim takes: what about a second can send (DESIGN §8), from what the last batches took.

A batch that is slow keeps its mails from other workers, and a mail of a higher lane waiting; one that is fast and small asks the
spool too often. Pure but for what it remembers, which has to outlive a batch; safe from several threads, whose reports may
overtake each other.
"""

from __future__ import annotations

#: Seconds that a batch is meant to last. Between two batches a relay stands still for one round trip: at 20 ms that is 5 % of half a
#: second, and 2.5 % of a whole one. Longer, and the last worker of a backlog sends alone while the others have nothing left.
_TARGET = 1.0

#: Mails of the first batch, before anything is known: a relay may take a second for each.
_START = 5

#: Share of a new measurement in the estimate.
_WEIGHT = 0.5

#: Claims that are remembered, to know between which mailers the turns go round.
_RECENT = 4


class Speed:
    """How fast the mailers' relays have been of late.

    Args:
        most: mails that a claim takes at most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._seconds: dict[str, float] = {}
        self._sizes: dict[str, int] = {}
        self._recent: tuple[str, ...] = ()

    def limit(self) -> int:
        """Return how many mails to claim, not knowing of which mailer: enough for the fastest of the recent ones."""
        return max((self.size(mailer) for mailer in self._recent), default=min(_START, self._most))

    def size(self, mailer: str) -> int:
        """Return how many mails of this mailer are a batch."""
        return self._sizes.get(mailer, min(_START, self._most))

    def note(self, mailer: str, mails: int, seconds: float) -> None:
        """Take in how long a batch took.

        Args:
            mailer: whose it was.
            mails: how many were sent.
            seconds: from the beginning of the first to the end of the last.
        """
        self._recent = (*self._recent[1 - _RECENT :], mailer)
        if mails < 1:
            return
        # The grain of the clock: a backend without a relay may take no time that can be seen.
        measured = max(seconds / mails, 1e-6)
        known = self._seconds.get(mailer, measured)
        self._seconds[mailer] = estimate = known + _WEIGHT * (measured - known)
        # Not more than twice as many as the last time: a few quick mails are no proof.
        self._sizes[mailer] = max(1, min(self._most, 2 * self.size(mailer), int(_TARGET / estimate)))
