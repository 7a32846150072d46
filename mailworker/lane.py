"""The three lanes that mail travels in, and their order."""

from __future__ import annotations

from enum import StrEnum


class Lane(StrEnum):
    """A lane; a worker takes the next one only when the higher ones are empty."""

    HIGH = "high"
    NORMAL = "normal"
    BULK = "bulk"


#: Highest first.
LANES: tuple[Lane, ...] = (Lane.HIGH, Lane.NORMAL, Lane.BULK)
