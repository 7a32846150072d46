"""What came of reading a list of rows: counts, and why the bad ones are bad."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

#: Bad rows that are told one by one; the others are counted.
MAX_BAD_ROWS = 1000


class BadLine(NamedTuple):
    """A row that is none.

    Attributes:
        line: on which it begins; of what is no file, its place from 1.
        reason: why, without any of its values.
    """

    line: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """What came of filling a bulk.

    Attributes:
        name: of the bulk.
        read: rows that the list has, but for empty lines.
        new: mails that came in, without those that are suppressed.
        known: rows whose mails an earlier fill had put in.
        duplicates: rows whose recipient the list names more than once, without the first one.
        suppressed: recipients that want no mail.
        bad: rows that can become no mail.
        bad_rows: the first thousand of them.
        seconds: how long it took.
    """

    name: str
    read: int = 0
    new: int = 0
    known: int = 0
    duplicates: int = 0
    suppressed: int = 0
    bad: int = 0
    bad_rows: tuple[BadLine, ...] = ()
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `--json`."""
        return {**asdict(self), "bad_rows": [{"line": line, "reason": reason} for line, reason in self.bad_rows]}


@dataclass(slots=True)
class Progress:
    """How far a list is read; one object that changes as it goes on.

    Attributes:
        read: rows so far.
        new: see `Filled`; these count what the spool has answered.
        known: the same.
        duplicates: the same.
        suppressed: the same.
        bad: rows so far that are none.
        share: of the list that is read, from 0 to 1; None if nobody knows how long it is.
    """

    read: int = 0
    new: int = 0
    known: int = 0
    duplicates: int = 0
    suppressed: int = 0
    bad: int = 0
    share: float | None = None
