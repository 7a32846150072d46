"""What happens next in a chaos run, and when: from a seed, the same each time."""

from __future__ import annotations

import random
from collections.abc import Mapping


class Deck:
    """Deals events.

    Args:
        kinds: kind -> how often in proportion.
        pause: seconds between two of them, on average.
        seed: of kinds and moments.
    """

    def __init__(self, kinds: Mapping[str, int], pause: float, seed: int) -> None:
        self._kinds = kinds
        self._pause = pause
        self._random = random.Random(seed)
        self._cards: list[str] = []

    def choose(self) -> tuple[str, float]:
        """Return what happens next, and in how many seconds."""
        if not self._cards:
            # As cards are dealt: at random, and even a short run has some of each.
            self._cards = [kind for kind, often in self._kinds.items() for _ in range(often)]
            self._random.shuffle(self._cards)
        return self._cards.pop(), self._random.expovariate(1 / self._pause)
