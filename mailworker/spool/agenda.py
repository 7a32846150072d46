"""Keys in the order of their times, each key once.

A binary heap with an index beside it: moving or removing a key only forgets its place in the heap, and the heap is
rebuilt when more than half of it has been forgotten, so every call costs O(log n) on average and nothing is scanned.
Keys of one time come in the order in which they were set.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

#: Forgotten places that are put up with whatever the size; below it, rebuilding would cost more than it frees.
_SLACK = 64


class Agenda(Generic[K]):
    """An ordered set of keys, each with a time in seconds."""

    __slots__ = ("_count", "_heap", "_places")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, K]] = []
        self._places: dict[K, tuple[float, int, K]] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __iter__(self) -> Iterator[K]:
        """Iterate over the keys in no order that means anything."""
        return iter(self._places)

    def set(self, key: K, at: float) -> None:
        """Put a key at a time, or move it there."""
        self._count += 1
        place = (at, self._count, key)
        self._places[key] = place
        heapq.heappush(self._heap, place)
        if len(self._heap) > 2 * len(self._places) + _SLACK:
            self._heap = list(self._places.values())
            heapq.heapify(self._heap)

    def discard(self, key: K) -> None:
        """Remove a key if it is there."""
        self._places.pop(key, None)

    def time_of(self, key: K) -> float | None:
        """Return the time of a key, None if it is not there."""
        place = self._places.get(key)
        return None if place is None else place[0]

    def first_time(self) -> float | None:
        """Return the earliest time, None if there is no key."""
        place = self._first()
        return None if place is None else place[0]

    def first(self) -> K:
        """Return the earliest key.

        Raises:
            IndexError: if there is none.
        """
        place = self._first()
        if place is None:
            raise IndexError("an empty agenda has no first key")
        return place[2]

    def pop_until(self, now: float) -> K | None:
        """Remove the earliest key if its time has come, and return it; None otherwise."""
        place = self._first()
        if place is None or place[0] > now:
            return None
        heapq.heappop(self._heap)
        del self._places[place[2]]
        return place[2]

    def _first(self) -> tuple[float, int, K] | None:
        while self._heap:
            place = self._heap[0]
            if self._places.get(place[2]) is place:
                return place
            heapq.heappop(self._heap)
        return None
