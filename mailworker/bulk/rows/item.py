"""What a source of rows gives: each row with its place, or why it is none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A row that is none.

    Attributes:
        reason: why, without any of its values.
    """

    reason: str


#: The line on which a row begins, or its place in what is no file, from 1; and its values by column.
Item = tuple[int, Mapping[str, Any] | Unreadable]


class Source(Protocol):
    """Rows, read once and in order.

    Iterating raises `RowsError` where there is no going on.
    """

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The names of the columns where all rows have the same; None where each has its own."""
        ...

    def __iter__(self) -> Iterator[Item]: ...

    def share(self) -> float | None:
        """Return how much has been read so far, from 0 to 1; None if nobody knows how much there is."""
        ...
