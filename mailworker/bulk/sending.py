"""Start a bulk: read its list, check each row, put the mails into the spool behind a closed gate, and open that after the last one.

The same call again goes on where an earlier one has ended, for whatever reason: a mail's id follows from the bulk's name and the
recipient.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextlib import suppress as ignored
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Literal

from mailworker import log
from mailworker.bulk.filled import BadLine, Filled, Progress
from mailworker.bulk.filling import Filler, Reader, until_answered
from mailworker.bulk.here import Here, here, told
from mailworker.bulk.mailing import Mailing, mailing
from mailworker.bulk.planning import check_fits
from mailworker.bulk.rows import Rows
from mailworker.errors import BulkRefused, EnqueueError
from mailworker.lane import Lane
from mailworker.lock import ForkSafeLock
from mailworker.mail.suppression import Suppress
from mailworker.queue.compose import tools
from mailworker.spool.base import Spool, SpoolUnavailable
from mailworker.spool.bulk import Bulk, BulkClosed, PendingRows, Row
from mailworker.spool.bulks import SentRows
from mailworker.spool.redis import RedisSpool

logger = log.get(__name__)

_lock = ForkSafeLock()
#: Names of bulks that this process fills.
_being_filled: set[str] = set()


def send(
    name: str,
    template: str,
    rows: Rows,
    *,
    at: datetime | None = None,
    delay: timedelta | float | None = None,
    rate: float | str | None = None,
    between: str | None = None,
    lane: Lane | str = Lane.BULK,
    using: str | None = None,
    to: str = "email",
    from_email: str | None = None,
    reply_to: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    language: str | None = None,
    expires: datetime | timedelta | float | None = None,
    on_in_doubt: Literal["resend", "hold"] | None = None,
    suppress: Suppress | None = None,
    strict: bool = False,
    wait: bool = True,
    max_bounces: float | None = 0.1,
    encoding: str = "utf-8",
    delimiter: str | None = None,
    on_progress: Callable[[Progress], object] | None = None,
) -> Filled:
    """Send a message to each row of a list: all rows are checked and queued first, and then the mails go.

    It returns when the list is queued; `mailworker.bulk.show(name)` tells what becomes of it. The same call again, after a crash
    or with a longer list, adds only what is missing, and leaves rate, hours and times as they were.

    Args:
        name: of the bulk, 1 to 200 characters; its mails are the group of that name.
        template: name of its templates, "news/march" for `news/march.subject.txt`, `.txt` and `.html`.
        rows: the path of a CSV or JSON Lines file, which may be gzipped; an open file; a Django queryset, or any iterable of
            mappings. It is read once, and never held as a whole.
        at: not before this moment, a datetime with a time zone.
        delay: not before this long from now, a timedelta or seconds.
        rate: mails a second, over all workers, or text such as "200/s", "5000/min", "100000/h"; None = what the mailer allows.
        between: hours in which mails go, such as "08:00-20:00 Europe/Berlin" or "mon-fri 08:00-20:00 Europe/Berlin".
        lane: "bulk", "normal" or "high".
        using: alias of the mailer; None = the default one.
        to: the column with the recipient, "ann@example.com" or "Ann <ann@example.com>".
        from_email: sender, which may hold columns: "{{ agent }} <{{ agent_email }}>"; None = DEFAULT_FROM_EMAIL.
        reply_to: addresses for the Reply-To header, which may hold columns.
        headers: further headers, whose values may hold columns.
        language: of the templates, such as "de".
        expires: not after this moment, or this long from now.
        on_in_doubt: "resend" or "hold" when a second copy might be made.
        suppress: who gets none, beside MAILWORKER_SUPPRESSION: the path of a file of addresses and domains, "module:function",
            or a function, all of which a worker asks again before it sends; or addresses and domains, which count only now.
        strict: the first bad row ends it, before anything has gone.
        wait: nothing goes before the last row is in; False = mails go at once.
        max_bounces: share of the last 500 mails that may be rejected; more than that pauses the bulk. None = any.
        encoding: of a file that has no byte order mark.
        delimiter: of a CSV file; None = comma, semicolon or tab, as the header has it.
        on_progress: is told some times a second how far it is.

    Returns:
        What came in, and which rows are bad.

    Raises:
        BulkRefused: a bulk of this name is known, and cannot be filled further.
        ConfigurationError: a setting is wrong or missing, or there is no spool here.
        EnqueueError: the spool does not answer; what it has is kept, and the same call goes on there.
        RowsError: there is no such list, it is broken or has no column that each mail needs; in strict, a row is bad.
        SuppressionUnavailable: nobody can say who wants no mail.
        TemplateError: a template is missing or wrong.
        TypeError, ValueError: an argument cannot be meant (among them BadHeaderError and InvalidAddress).
    """
    what = mailing(
        name,
        template,
        rows,
        at=at,
        delay=delay,
        rate=rate,
        between=between,
        lane=lane,
        using=using,
        to=to,
        from_email=from_email,
        reply_to=reply_to,
        headers=headers,
        language=language,
        expires=expires,
        on_in_doubt=on_in_doubt,
        suppress=suppress,
        strict=strict,
        wait=wait,
        max_bounces=max_bounces,
        encoding=encoding,
        delimiter=delimiter,
    )
    return start(what, on_progress=on_progress)


def start(
    what: Mailing,
    *,
    on_progress: Callable[[Progress], object] | None = None,
    on_bad: Callable[[BadLine], None] | None = None,
    on_known: Callable[[Bulk], object] | None = None,
) -> Filled:
    """Fill a bulk.

    Args:
        what: it.
        on_progress: is told some times a second how far it is.
        on_bad: is told each bad row.
        on_known: is told of a bulk that was begun before, and goes on by the plan that it had then.

    Returns, Raises: see `mailworker.bulk.send`.
    """
    place = here("a bulk")
    name = what.wish.name
    reader = what.reader(place.conf, on_bad)
    began = time.monotonic()
    with what.opened(reader) as source, _alone(name):
        before = _begun(place, what, on_known)
        filler = Filler(
            _into(place.spool, name), reader, on_progress=on_progress, on_taken=_waking(place, before.plan.lane)
        )
        try:
            filler.fill(source)
            after = _ended(place, name, before, filler, reader.bad)
        except SpoolUnavailable as error:
            raise EnqueueError(
                f"the spool has not answered for a minute ({error}), and the bulk {name!r} is filled in part"
                f"{', behind its closed gate' if what.wish.wait else ''}: start it again as it was, and it goes on from there"
            ) from None
        except BulkClosed as error:
            raise BulkRefused(f"the bulk {name!r} takes no more rows: {error}") from None
        finally:
            if not filler.put and not before.rows:
                # As good as none: it may be begun anew with another letter.
                with ignored(SpoolUnavailable, BulkClosed):
                    place.spool.bulks.end(name)
    filled = _counted(filler, reader, name, before, after, time.monotonic() - began)
    logger.info(
        "bulk %s: %d mails new, %d known, %d duplicates, %d suppressed, %d bad rows",
        *(name, filled.new, filled.known, filled.duplicates, filled.suppressed, filled.bad),
        extra={"event": "bulk_filled", "group": name},
    )
    if place.is_eager:
        from mailworker.queue import eager

        eager.deliver_due(what.mailer)
    return filled


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """Fill one bulk but once at a time in this process: its spool keeps one place in the list for each.

    Raises:
        BulkRefused: another thread is at it.
    """
    with _lock:
        if name in _being_filled:
            raise BulkRefused(f"the bulk {name!r} is being filled just now, by another thread of this process")
        _being_filled.add(name)
    try:
        yield
    finally:
        with _lock:
            _being_filled.discard(name)


def _begun(place: Here, what: Mailing, on_known: Callable[[Bulk], object] | None) -> Bulk:
    """Begin the bulk, or go on with it; return how it stands."""
    name, spool = what.wish.name, place.spool
    with told():
        known = spool.bulks.get(name)
        now = spool.now()
        plan = what.wish.plan(
            now,
            letter=what.letter.encode(tools(place.conf).sealer),
            letter_digest=what.letter.digest,
            mailer=what.mailer,
            note=what.note(place.conf).encode(),
        )
        if known is None or not known.rows:
            what.wish.check_moment(now)
        else:
            # Before it is begun as well: a bulk that must not be filled keeps its gate open.
            check_fits(known, plan)
        bulk = spool.bulks.begin(plan)
    check_fits(bulk, plan)
    if bulk.rows and on_known is not None:
        on_known(bulk)
    return bulk


def _ended(place: Here, name: str, before: Bulk, filler: Filler, bad: int) -> Bulk:
    """Open the gate; return how the bulk stands then."""
    spool = place.spool

    def end() -> None:
        lane: Lane | None = None
        if isinstance(spool, RedisSpool):
            lane = spool.bulks.end_and_wake(name, filler.progress.read, bad)
        else:
            spool.bulks.end(name, filler.progress.read, bad)
        _wake(place, lane)

    def end_once() -> None:
        # Its answer was lost, and its counts must not count twice.
        stands = spool.bulks.get(name)
        if stands is None or stands.filled_at == before.filled_at:
            end()

    try:
        end()
    except SpoolUnavailable as error:
        until_answered(end_once, error, time)
    stands = spool.bulks.get(name)
    if stands is None:
        raise BulkClosed(f"there is no bulk {name!r} any more")
    return stands


def _counted(filler: Filler, reader: Reader, name: str, before: Bulk, after: Bulk, seconds: float) -> Filled:
    progress = filler.progress
    filled = Filled(
        name=name,
        read=progress.read,
        new=progress.new,
        known=progress.known,
        duplicates=progress.duplicates,
        suppressed=progress.suppressed,
        bad=reader.bad,
        bad_rows=tuple(reader.bad_rows),
        seconds=seconds,
    )
    if not filler.was_away:
        return filled
    # By the spool's own counts: rows that it had when it was asked again were told as repeated.
    new, suppressed = after.rows - before.rows, after.suppressed - before.suppressed
    return replace(filled, new=new - suppressed, suppressed=suppressed, duplicates=filler.put - new - progress.known)


def _into(spool: Spool, name: str) -> Callable[[Sequence[Row]], PendingRows]:
    """Return what sends rows on their way, and finds out whether a worker has to be woken where there are workers."""
    start_rows = spool.bulks.start_and_wake if isinstance(spool, RedisSpool) else spool.bulks.start
    return partial(start_rows, name)


def _waking(place: Here, lane: Lane) -> Callable[[PendingRows], None]:
    def taken(pending: PendingRows) -> None:
        if isinstance(pending, SentRows) and pending.has_to_wake:
            _wake(place, lane)

    return taken


def _wake(place: Here, lane: Lane | None) -> None:
    if lane is None:
        return
    from mailworker.queue.to_spool import wake_workers

    wake_workers(place.app, place.conf, [lane])
