"""Eager mode: the same pipeline over a spool in the caller's process, without a broker; for tests and scripts.

The caller learns at once what became of its mail. What would be tried again later is an error here, since nobody waits
for later; what was asked for later (`at=`, `delay=`) waits in the spool for `run_due()`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from mailworker import settings
from mailworker.errors import ConfigurationError, DeliveryDeferred, DeliveryFailed
from mailworker.lock import ForkSafeLock
from mailworker.outcome import OutcomeClass
from mailworker.queue import client, runtime
from mailworker.spool.bulk import BulkGate
from mailworker.spool.memory import MemorySpool
from mailworker.spool.record import MailStatus, State

if TYPE_CHECKING:
    from mailworker.queue.compose import Composed


class _Clock:
    """The time of day, plus what `run_due(at=...)` has moved it ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


_clock = _Clock()
_lock = ForkSafeLock()
#: Made when it is first asked for: it takes its retention from the settings.
_spool: MemorySpool | None = None


def deliver(composed: Sequence[Composed], *, fail_silently: bool) -> list[str]:
    """Deliver mails in this process, now.

    Args:
        composed: messages and their mails.
        fail_silently: what goes wrong is not raised.

    Returns:
        The ids of the mails.

    Raises:
        DeliveryDeferred: the first mail that failed would be tried again later.
        DeliveryFailed: it was given up, or is held.
    """
    with _lock:
        mails = spool()
        mails.put([one.mail for one in composed])
        for mailer in {one.mail.mailer for one in composed}:
            # Each call finds out for itself whether the relay works: its caller waits for the answer.
            mails.recover(mailer)
        _run()
        failures: list[DeliveryFailed] = []
        for one in composed:
            one.queued()
            status = mails.status(one.mail.id)
            if status is None:
                continue
            one.message.outcomes = dict(status.outcomes)
            if not fail_silently and (failure := _failure(status, one.mail.due_at)) is not None:
                failures.append(failure)
                # The caller knows, and may send the message again, with the same key: nothing of it must stay behind.
                mails.forget(status.id)
    if failures:
        raise failures[0]
    return [one.mail.id for one in composed]


def deliver_due(mailer: str) -> int:
    """Deliver what is due in this process's eager spool, after mails of this mailer were put into it; return how many were tried.

    What becomes of them is not raised: who put in thousands asks for counts.
    """
    with _lock:
        # Each call finds out for itself whether the relay works, as in `deliver`.
        spool().recover(mailer)
        return _run()


def run_due(at: datetime | None = None, *, after: timedelta | float | None = None) -> int:
    """Deliver what is due in this process's eager spool.

    Args:
        at: act as if it were this time; it must be aware and not before an earlier call's. None = now.
        after: the same, told by how long from now, and from an earlier call's time; a timedelta or seconds.

    Returns:
        The number of mails that were tried.

    Raises:
        ConfigurationError: mail goes to a queue here, whose worker goes by the clock.
        TypeError: both are given.
        ValueError: `at` has no time zone, or time would run backwards.
    """
    if not client.is_eager():
        raise ConfigurationError(
            "run_due() moves the time of eager mode, and here mail goes to a queue, whose worker goes by the clock: set "
            "MAILWORKER_TASK_ALWAYS_EAGER, or leave mailworker_worker out of this test"
        )
    with _lock:
        if after is not None:
            if at is not None:
                raise TypeError("at= and after= are both given: expected one of them")
            seconds = after.total_seconds() if isinstance(after, timedelta) else float(after)
            if not 0 <= seconds < math.inf:
                raise ValueError(f"after={after!r} would turn time back; expected zero or more seconds, or a timedelta")
            return _go_to(_clock.ahead + seconds)
        if at is not None:
            if at.tzinfo is None:
                raise ValueError(f"at={at!r} has no time zone; expected an aware datetime such as datetime.now(UTC)")
            ahead = at.timestamp() - time.time()
            if ahead < _clock.ahead - 1.0:
                raise ValueError(
                    f"at={at!r} lies before the time of the last run_due(); call mailworker.queue.eager.reset() to go back"
                )
            return _go_to(ahead)
        return _run()


def _go_to(ahead: float) -> int:
    """Move the clock, not past hours of a bulk in which its mails would have gone; return how many mails were tried."""
    tried = 0
    while True:
        now, until = spool().now(), time.time() + ahead
        starts = [
            one.plan.timetable.first(max(now, one.plan.due_at))
            for one in spool().bulks.all()
            if one.gate is BulkGate.OPEN and one.states.get(State.DUE)
        ]
        starts = [start for start in starts if now < start < until]
        if not starts:
            break
        _clock.ahead = min(starts) - time.time()
        tried += _run()
    _clock.ahead = ahead
    return tried + _run()


def waiting() -> list[datetime]:
    """Return when the mails that wait in this process are due, the first one first."""
    with _lock:
        if _spool is None:
            return []
        known = [_spool.status(mail_id) for mail_id in _spool.ids(State.DUE)]
        due = sorted(one.next_attempt_at for one in known if one is not None and one.next_attempt_at is not None)
        return [datetime.fromtimestamp(moment, UTC) for moment in due]


def reset() -> None:
    """Forget all mails of the eager spool, and its clock: between tests."""
    global _spool
    with _lock:
        _clock.ahead = 0.0
        _spool = None


def spool() -> MemorySpool:
    """Return the eager spool of this process."""
    global _spool
    with _lock:
        if _spool is None:
            # No rates: nobody waits here while their time passes.
            _spool = MemorySpool(_clock, retention=settings.current().MAILWORKER_RETENTION, keeps_rates=False)
        return _spool


def _run() -> int:
    parts = runtime.current()
    # Of its own for each run: a backend that sends mail itself, while it has one in hand, is in use already.
    connections = parts.connections.another()
    try:
        return replace(parts, connections=connections).pipeline(spool(), lambda: False).run()
    finally:
        # A caller is no worker slot: nothing stays open behind it.
        connections.close_all()


def _failure(status: MailStatus, due_at: float) -> DeliveryFailed | None:
    """Return what to tell the caller about a mail, None if all is well with it."""
    if status.state in (State.DEAD, State.HELD):
        return DeliveryFailed(f"the mail is {status.state.value}: {status.reason}{_codes(status)}", status.outcomes)
    if status.state is State.EXPIRED:
        return DeliveryFailed("the mail's time was over before it could be sent", status.outcomes)
    if status.state is State.DUE and due_at <= spool().now():
        reason = spool().mailer_state(status.mailer).reason
        cause = f": {reason}" if reason and not status.outcomes else _codes(status)
        text = f"the mail would be tried again later, and eager mode has no later{cause}"
        return DeliveryDeferred(text, status.outcomes)
    return None


def _codes(status: MailStatus) -> str:
    """Return what the relay said, or what came between, in brackets; of a recipient that it has accepted nothing."""
    open_ones = [one for one in status.outcomes.values() if one.kind is not OutcomeClass.ACCEPTED]
    said = {f"{one.reply.code} {one.reply.enhanced or ''}".strip() if one.reply else one.text for one in open_ones}
    shown = ", ".join(sorted(filter(None, said)))
    return f" ({shown})" if shown else ""
