"""What would come of a list: all of its rows are read and checked, and nothing is put anywhere. It needs no spool.

Who is listed twice is found by 64 bits of the mail's id, so that a million recipients take 8 MB.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mailworker import settings
from mailworker.bulk.filled import BadLine, Progress
from mailworker.bulk.mailing import Mailing
from mailworker.mail.letter import read_row
from mailworker.mail.message import EmailMultiAlternatives

#: Messages that are shown.
SAMPLES = 3

#: Rows between two words on how far it is.
_TELL_EVERY = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What would come of a list.

    Attributes:
        name: of the bulk that it would be.
        read: rows that the list has.
        good: mails that would be sent.
        duplicates: rows whose recipient the list names more than once, without the first one.
        suppressed: recipients that want no mail.
        bad: rows that can become no mail.
        bad_rows: the first thousand of them.
        samples: the messages of the first good rows.
        seconds: how long it took.
    """

    name: str
    read: int
    good: int
    duplicates: int
    suppressed: int
    bad: int
    bad_rows: tuple[BadLine, ...]
    samples: tuple[EmailMultiAlternatives, ...]
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `--json`."""
        return {
            "name": self.name,
            "read": self.read,
            "good": self.good,
            "duplicates": self.duplicates,
            "suppressed": self.suppressed,
            "bad": self.bad,
            "bad_rows": [{"line": line, "reason": reason} for line, reason in self.bad_rows],
            "samples": [
                {
                    "from": message.from_email,
                    "to": list(message.to),
                    "subject": message.subject,
                    "text": message.body,
                    "html": next((str(each.content) for each in message.alternatives), None),
                }
                for message in self.samples
            ],
            "seconds": self.seconds,
        }


def dry_run(
    what: Mailing,
    *,
    on_progress: Callable[[Progress], object] | None = None,
    on_bad: Callable[[BadLine], None] | None = None,
) -> DryRun:
    """Read and check a list.

    Args:
        what: the bulk that it would be.
        on_progress: is told now and then how far it is.
        on_bad: is told each bad row.

    Raises:
        RowsError: it is no list, or has no column that the mails need; or in strict, the first bad row.
        SuppressionUnavailable: nobody can say who wants mail.
    """
    reader = what.reader(settings.current(), on_bad)
    began, date = time.monotonic(), datetime.now(UTC)
    progress = Progress()
    seen, unwanted = _Marks(), _Marks()
    shown: list[EmailMultiAlternatives] = []
    with what.opened(reader) as source:
        for line, values in source:
            progress.read += 1
            if on_progress is not None and progress.read % _TELL_EVERY == 0:
                progress.bad, progress.share = reader.bad, source.share()
                on_progress(progress)
            row = reader.row(line, values)
            if row is None:
                continue
            seen.add(row.id)
            if row.is_suppressed:
                unwanted.add(row.id)
            elif len(shown) < SAMPLES:
                # As a worker will have it: what is no text has become one.
                _, as_read = read_row(row.payload, reader.sealer)
                shown.append(what.letter.message(as_read, mail_id=row.id, bulk=what.wish.name, date=date))
    different, suppressed = seen.different(), unwanted.different()
    return DryRun(
        name=what.wish.name,
        read=progress.read,
        good=different - suppressed,
        duplicates=len(seen) - different,
        suppressed=suppressed,
        bad=reader.bad,
        bad_rows=tuple(reader.bad_rows),
        samples=tuple(shown),
        seconds=time.monotonic() - began,
    )


class _Marks:
    """Counts the different ids among many, by 64 bits of each."""

    def __init__(self) -> None:
        # In heaps by some further bits: a set of each alone is small.
        self._heaps = [array("Q") for _ in range(256)]

    def add(self, mail_id: str) -> None:
        self._heaps[int(mail_id[16:18], 16)].append(int(mail_id[:16], 16))

    def different(self) -> int:
        return sum(len(set(heap)) for heap in self._heaps)

    def __len__(self) -> int:
        return sum(map(len, self._heaps))
