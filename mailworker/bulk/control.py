"""What can be asked of a bulk and done with it while it is under way. A name that is not known is a `BulkUnknown`."""

from __future__ import annotations

from dataclasses import replace

from mailworker.bulk.here import here, told
from mailworker.bulk.planning import check_name, timetable
from mailworker.errors import BulkRefused, BulkUnknown
from mailworker.spool.base import MailerState
from mailworker.spool.bulk import Bulk, BulkGate, Timetable


class _Unchanged:
    """Says that a value stays as it is."""


UNCHANGED = _Unchanged()


def show(name: str) -> Bulk:
    """Return how a bulk stands.

    Args:
        name: its name.

    Raises:
        BulkUnknown: there is none of that name.
        ConfigurationError: nothing here keeps mails.
        EnqueueError: the spool cannot be asked.
    """
    check_name(name)
    place = here("a bulk")
    with told():
        found = place.spool.bulks.get(name)
    if found is None:
        raise BulkUnknown(f"there is no bulk {name!r}; `mailworker bulk list` shows those that there are")
    return found


def bulks() -> list[Bulk]:
    """Return how all bulks stand, the one that was begun last first.

    Raises:
        ConfigurationError, EnqueueError: as for `show`.
    """
    place = here("a bulk")
    with told():
        return place.spool.bulks.all()


def pause(name: str, reason: str = "") -> Bulk:
    """Let no more mails of a bulk go, in no worker, until `resume`; return how it stands then.

    Args:
        name: its name.
        reason: what people shall read beside it.

    Raises:
        BulkRefused: it is cancelled.
        BulkUnknown, ConfigurationError, EnqueueError: as for `show`.
    """
    found = show(name)
    if found.gate is BulkGate.CANCELLED:
        raise BulkRefused(f"the bulk {name!r} is cancelled: nothing of it goes any more")
    with told():
        here("a bulk").spool.pause_group(name, reason)
    return show(name)


def resume(name: str) -> Bulk:
    """Let the mails of a paused bulk go on, whoever paused it; return how it stands then.

    Raises:
        BulkRefused: it is cancelled, or its list has not come in as a whole.
        BulkUnknown, ConfigurationError, EnqueueError: as for `show`.
    """
    found = show(name)
    if found.gate is BulkGate.CANCELLED:
        raise BulkRefused(
            f"the bulk {name!r} is cancelled, and what was taken back stays so: start one of another name"
        )
    with told():
        here("a bulk").spool.resume_group(name)
    after = show(name)
    if after.gate is BulkGate.FILLING:
        raise BulkRefused(
            f"the list of the bulk {name!r} has not come in as a whole, and its gate opens after the last row: start it again "
            "as it was, and it goes on from there"
        )
    return after


def cancel(name: str) -> Bulk:
    """Take back what has not gone of a bulk, for good; return how it stands then.

    Raises:
        BulkUnknown, ConfigurationError, EnqueueError: as for `show`.
    """
    show(name)
    with told():
        here("a bulk").spool.cancel_group(name)
    return show(name)


def retime(
    name: str, *, rate: float | str | _Unchanged | None = UNCHANGED, between: str | _Unchanged | None = UNCHANGED
) -> Bulk:
    """Give a bulk another rate or other hours; return how it stands then.

    Args:
        name: its name.
        rate: mails a second, or text such as "200/s"; None = no limit.
        between: such as "mon-fri 08:00-20:00 Europe/Berlin"; None = at any time.

    Raises:
        ValueError: one of them is none.
        BulkUnknown, ConfigurationError, EnqueueError: as for `show`.
    """
    found = show(name)
    new: Timetable = found.plan.timetable
    if not isinstance(rate, _Unchanged):
        limited = timetable(rate, None, found.now)
        new = replace(new, rate=limited.rate, burst=limited.burst)
    if not isinstance(between, _Unchanged):
        new = replace(new, windows=timetable(None, between, max(found.now, found.plan.due_at)).windows)
    with told():
        here("a bulk").spool.bulks.retime(name, new)
    return show(name)


def retry_failed(name: str) -> int:
    """Try the dead and held mails of a bulk again, for those of their recipients that were not accepted; return how many.

    Raises:
        BulkRefused: it is cancelled.
        BulkUnknown, ConfigurationError, EnqueueError: as for `show`.
    """
    found = show(name)
    if found.gate is BulkGate.CANCELLED:
        raise BulkRefused(f"the bulk {name!r} is cancelled: nothing of it goes any more")
    with told():
        return here("a bulk").spool.bulks.replay_failed(name)


def mailer_gate(bulk: Bulk) -> MailerState:
    """Return the gate of the mailer that a bulk goes by.

    Raises:
        ConfigurationError, EnqueueError: as for `show`.
    """
    place = here("a bulk")
    with told():
        return place.spool.mailer_state(bulk.plan.mailer)
