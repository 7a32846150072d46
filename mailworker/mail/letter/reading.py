"""What templates do with a row, as far as that can be told without rendering it.

Written by who knows the engine's templates, and read by `mailworker.mail.letter.check`. Whatever is not plainly understood makes
a reading uncertain, never wrong: such rows are rendered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce


@dataclass(frozen=True, slots=True)
class Reading:
    """What is known of some templates together.

    Attributes:
        names: columns that they may look at.
        is_complete: they look at no others.
        demanded: columns with which a row of texts and numbers renders for certain, if `is_certain`.
        needed: columns without which no row renders; some of `demanded`.
        is_certain: see `demanded`.
        size: bytes that they come to at the most, without what stands in the row.
        growth: bytes that each character of the row adds at the most.
        tags: how many tags of HTML may be in it, as counted by their first character.
    """

    names: frozenset[str] = frozenset()
    is_complete: bool = True
    demanded: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()
    is_certain: bool = True
    size: int = 0
    growth: int = 0
    tags: int = 0

    def __add__(self, other: Reading) -> Reading:
        return Reading(
            self.names | other.names,
            self.is_complete and other.is_complete,
            self.demanded | other.demanded,
            self.needed | other.needed,
            self.is_certain and other.is_certain,
            self.size + other.size,
            self.growth + other.growth,
            self.tags + other.tags,
        )


def together(readings: Iterable[Reading]) -> Reading:
    """Return what is known of all of them."""
    return reduce(Reading.__add__, readings, Reading())
