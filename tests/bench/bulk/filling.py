"""How fast a list comes in, what memory its producer needs, and what Redis needs for a row: queued, and when all are sent.

A row's own data is the line of the CSV file. What counts are the rows that become mails, those of recipients who want none
among them: these are kept for the report.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.bench.bulk.place import Place, opened
from tests.bench.child import ChildError
from tests.bench.postfix import Postfix
from tests.bulk_list import Kind, Written, suppression, write_to

#: Processes of the worker that sends all of them.
_PROCESSES = 2


def measured(
    postfix: Postfix | None, rows: int, *, is_sent: bool, tell: Callable[[str], None] = lambda text: None
) -> dict[str, float]:
    """Return the figures.

    Args:
        postfix: where smtp-sink is, if it is.
        rows: of the list.
        is_sent: send all mails too, and look at the memory after that.
        tell: hears what happens.

    Raises:
        ChildError: it did not work.
    """
    with opened(postfix) as place:
        tell(f"writes a list of {rows:,} rows")
        written = write_to(place.rows, rows)
        unwanted = place.folder / "unwanted.txt"
        unwanted.write_text("".join(suppression(rows)))
        before = place.used()
        tell(f"queues {rows:,} rows")
        # Of the list as it is, every 25th is refused: that is what it is for.
        said = place.fill("html", "--suppress", str(unwanted))
        check(said, written)
        found = {
            "rows": said["read"],
            "mails": written.mails,
            "row_bytes": written.size / written.mails,
            "enqueue_rate": said["read"] / said["seconds"],
            "enqueue_seconds": said["seconds"],
            "process_seconds": said["whole_seconds"],
            "enqueue_cpu_us": said["cpu"] / said["read"] * 1e6,
            "producer_mb": said["peak"] / 1e6,
            "queued_bytes": _beyond(place, before, written),
        }
        if is_sent:
            found |= _sent(place, before, written, tell)
    return found


def check(said: dict[str, float], written: Written) -> None:
    """Make sure that the producer has counted what stands in the list.

    Raises:
        ChildError: it has not.
    """
    kinds = written.kinds
    expected = {
        "read": kinds.total(),
        "new": written.sent,
        "suppressed": kinds[Kind.SUPPRESSED],
        "duplicates": kinds[Kind.DUPLICATE],
        "bad": kinds[Kind.BAD],
    }
    counted = {name: said[name] for name in expected}
    if counted != expected:
        raise ChildError(f"the producer has counted {counted}, and the list has {expected}")


def _beyond(place: Place, before: int, written: Written) -> float:
    """Return the bytes of Redis for each mail beyond its row."""
    return (place.used() - before - written.size) / written.mails


def _sent(place: Place, before: int, written: Written, tell: Callable[[str], None]) -> dict[str, float]:
    tell(f"sends {written.sent:,} mails")
    with place.worker("-c", str(_PROCESSES)) as worker:
        place.settle(worker)
    bulk = place.bulk()
    assert bulk.began_at is not None
    assert bulk.ended_at is not None
    if place.receiver.count() != written.sent:
        raise ChildError(f"{place.receiver.count():,} of {written.sent:,} mails came to the relay")
    return {"sent_bytes": _beyond(place, before, written), "drain_seconds": bulk.ended_at - bulk.began_at}
