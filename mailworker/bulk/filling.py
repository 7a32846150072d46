"""Rows into the spool: each is checked, gets the id that its recipient has in this bulk, and goes with some hundred others.

While the spool takes some, the next ones are checked. What was put in twice is one mail, so whatever breaks may be done again: a
spool that does not answer is asked for a minute, and a fill that ends in the middle is begun anew by the same call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from mailworker.bulk.filled import MAX_BAD_ROWS, BadLine, Progress
from mailworker.bulk.rows import Source, Unreadable
from mailworker.errors import BadRow, RowsError
from mailworker.mail.letter import Letter, RowCheck, write_row
from mailworker.mail.sealing import Sealer
from mailworker.mail.suppression import Suppression
from mailworker.spool.base import SpoolUnavailable
from mailworker.spool.bulk import BulkClosed, PendingRows, Row, RowsTaken

T = TypeVar("T")

#: Rows in one step of the spool, which does nothing else meanwhile.
_ROWS = 500

#: Bytes of their payloads, at most but for one row.
_BYTES = 2**20

#: Seconds for which a spool that does not answer is asked again.
PATIENCE = 60.0

#: Seconds before the first time, doubled each time up to the second number.
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0


class Reader:
    """Makes mails of rows.

    Args:
        letter: what they say.
        check: of its rows.
        sealer: encrypts them if it has keys.
        id_of: recipient -> id of the mail.
        suppression: who wants none.
        strict: the first bad row ends it.
        on_bad: is told each bad row.

    Attributes:
        needed: the columns without which no row becomes a mail.
        sealer: see above.
        bad: bad rows so far.
        bad_rows: the first thousand of them.
    """

    def __init__(
        self,
        letter: Letter,
        check: RowCheck,
        sealer: Sealer,
        id_of: Callable[[str], str],
        suppression: Suppression,
        *,
        strict: bool = False,
        on_bad: Callable[[BadLine], None] | None = None,
    ) -> None:
        self._letter = letter
        self._check = check.check
        self.sealer = sealer
        self.needed = check.needed
        self._id_of = id_of
        self._holds = suppression.holds if suppression else None
        self._strict = strict
        self._on_bad = on_bad
        self.bad_rows: list[BadLine] = []
        self.bad = 0

    def row(self, line: int, values: Mapping[str, Any] | Unreadable) -> Row | None:
        """Return a row as the spool takes it; None if it is a bad one.

        Raises:
            RowsError: it is, and one is too many.
            SuppressionUnavailable: nobody can say whether its recipient wants mail.
        """
        if type(values) is Unreadable:
            self._refuse(line, values.reason)
            return None
        try:
            checked = self._check(values)  # type: ignore[arg-type]  # the other kind is handled above
            payload = write_row(self._letter, values, self.sealer)  # type: ignore[arg-type]
        except BadRow as error:
            self._refuse(line, str(error))
            return None
        recipient = checked.recipient
        return Row(self._id_of(recipient), payload, checked.domain, self._holds is not None and self._holds(recipient))

    def _refuse(self, line: int, reason: str) -> None:
        bad = BadLine(line, reason)
        self.bad += 1
        if len(self.bad_rows) < MAX_BAD_ROWS:
            self.bad_rows.append(bad)
        if self._on_bad is not None:
            self._on_bad(bad)
        if self._strict:
            raise RowsError(
                f"line {line}: {reason}; strict ends it here, and nothing goes until the list is mended and started again"
            )


class Clock(Protocol):
    """Time, for waits that tests make short."""

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float, /) -> None: ...


class Filler:
    """Puts the rows of a list into the spool, once.

    Args:
        start_rows: sends rows of the bulk on their way, see `Spool.bulks.start`.
        reader: makes mails of rows.
        on_progress: is told with each answer how far it is.
        on_taken: is given what the spool has taken.
        clock: for the waits between two tries.

    Attributes:
        progress: how far it is.
        put: mails that went to the spool, each as often as it is listed.
        was_away: the spool did not answer once, so that it may have counted as repeated what was new.
    """

    def __init__(
        self,
        start_rows: Callable[[Sequence[Row]], PendingRows],
        reader: Reader,
        *,
        on_progress: Callable[[Progress], object] | None = None,
        on_taken: Callable[[PendingRows], object] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._start_rows = start_rows
        self._reader = reader
        self._on_progress = on_progress
        self._on_taken = on_taken
        self._clock: Clock = time if clock is None else clock
        #: Rows on their way.
        self._pending: tuple[list[Row], PendingRows] | None = None
        self.progress = Progress()
        self.put = 0
        self.was_away = False

    def fill(self, source: Source) -> None:
        """Put all rows in.

        Args:
            source: of the rows.

        Raises:
            RowsError: the list cannot be read on, or the first bad row ends it.
            SuppressionUnavailable: nobody can say who wants mail.
            SpoolUnavailable: the spool has not answered for a minute.
            BulkClosed: the bulk was cancelled meanwhile, or the spool has lost it.
        """
        try:
            self._fill(source)
        finally:
            if self._pending is not None:
                # It has been cut off; what is on its way is let arrive, so that who looks now sees what is there.
                with suppress(SpoolUnavailable, BulkClosed):
                    self._pending[1].answer()

    def _fill(self, source: Source) -> None:
        progress, read = self.progress, self._reader.row
        rows: list[Row] = []
        size = 0
        for line, values in source:
            progress.read += 1
            row = read(line, values)
            if row is None:
                continue
            rows.append(row)
            size += len(row.payload)
            if len(rows) >= _ROWS or size >= _BYTES:
                self._push(rows, source)
                rows, size = [], 0
        if rows:
            self._push(rows, source)
        self._take(source)

    def _push(self, rows: list[Row], source: Source) -> None:
        self._take(source)
        self.put += len(rows)
        try:
            self._pending = (rows, self._start_rows(rows))
        except SpoolUnavailable as error:
            self._count(self._again(rows, error), source)

    def _take(self, source: Source) -> None:
        """Wait for the rows that are on their way."""
        if self._pending is None:
            return
        rows, pending = self._pending
        self._pending = None
        try:
            taken = pending.answer()
        except SpoolUnavailable as error:
            taken = self._again(rows, error)
        else:
            self._tell(pending)
        self._count(taken, source)

    def _again(self, rows: list[Row], error: SpoolUnavailable) -> RowsTaken:
        self.was_away = True

        def put() -> RowsTaken:
            pending = self._start_rows(rows)
            taken = pending.answer()
            self._tell(pending)
            return taken

        return until_answered(put, error, self._clock)

    def _tell(self, pending: PendingRows) -> None:
        if self._on_taken is not None:
            self._on_taken(pending)

    def _count(self, taken: RowsTaken, source: Source) -> None:
        progress = self.progress
        progress.new += taken.new - taken.suppressed
        progress.suppressed += taken.suppressed
        progress.duplicates += taken.repeated
        progress.known += taken.known
        progress.bad = self._reader.bad
        if self._on_progress is not None:
            progress.share = source.share()
            self._on_progress(progress)


def until_answered(ask: Callable[[], T], error: SpoolUnavailable, clock: Clock) -> T:
    """Ask a spool again and again that has not answered.

    Args:
        ask: what may be asked twice.
        error: what it said the first time.
        clock: for the waits.

    Raises:
        SpoolUnavailable: it has not answered for a minute.
    """
    ends_at, wait = clock.monotonic() + PATIENCE, _FIRST_WAIT
    while True:
        left = ends_at - clock.monotonic()
        if left <= 0:
            raise error
        clock.sleep(min(wait, left))
        wait = min(2 * wait, _LONGEST_WAIT)
        try:
            return ask()
        except SpoolUnavailable as again:
            error = again
