"""Mails into the spool: one round trip for a single mail, a hundred in each for many; then a worker is woken.

A mail that the spool has is accepted, whatever becomes of the wake-up: workers look by themselves each second. So a broker
that does not take wake-ups costs one caller its time, and the others nothing for a while.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from weakref import WeakKeyDictionary

from celery import Celery

from mailworker import log
from mailworker.errors import EnqueueError
from mailworker.lane import Lane
from mailworker.queue.compose import Composed
from mailworker.queue.publisher import PublishError
from mailworker.queue.wakeup import wake
from mailworker.settings import Settings
from mailworker.spool.base import SpoolUnavailable
from mailworker.spool.intake import pipelines
from mailworker.spool.redis import RedisSpool

logger = log.get(__name__)

#: Seconds for which nobody is woken after the broker did not take a wake-up.
_QUIET = 5.0

_quiet_until: WeakKeyDictionary[Celery, float] = WeakKeyDictionary()
_lock = threading.Lock()


def put(app: Celery, conf: Settings, spool: RedisSpool, window: Sequence[Composed], accepted: list[str]) -> None:
    """Put composed messages into the spool, and wake workers for them.

    Args:
        app: whose broker carries the wake-ups.
        conf: the settings.
        spool: where the mails go.
        window: the messages.
        accepted: gets the ids of the mails that the spool has.

    Raises:
        EnqueueError: the spool did not take them all.
    """
    lanes: set[Lane] = set()
    try:
        # One at a time, so that what earlier ones have brought in is known when one fails.
        for step in pipelines(window, lambda one: one.mail.size):
            with noted(conf, step, accepted):
                lanes |= spool.put_and_wake([one.mail for one in step])[1]
    finally:
        wake_workers(app, conf, lanes)


class noted:  # noqa: N801 - used as a function
    """Note on messages, and in the list of what is accepted, what came of putting their mails in the block.

    A class, since it stands around each call to the spool: a generator takes three times as long.

    Args:
        conf: the settings.
        step: the messages whose mails are put in the block.
        accepted: gets the ids of the mails if the spool has them.

    Raises:
        EnqueueError: the spool did not take them all.
    """

    __slots__ = ("_accepted", "_conf", "_step")

    def __init__(self, conf: Settings, step: Sequence[Composed], accepted: list[str]) -> None:
        self._conf = conf
        self._step = step
        self._accepted = accepted

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            for one in self._step:
                self._accepted.append(one.mail.id)
                one.queued()
            return
        # What is no answer of the spool's is a cancelled request, or Ctrl+C: sent once more, they are the same mails.
        is_unknown = error.maybe_done if isinstance(error, SpoolUnavailable) else True
        for one in self._step if is_unknown else ():
            one.lost_from_sight()
        if isinstance(error, SpoolUnavailable):
            unknown = [one.mail.id for one in self._step] if is_unknown else ()
            raise unavailable(self._conf, error, self._accepted, unknown) from None


def unavailable(
    conf: Settings, error: SpoolUnavailable, accepted: Sequence[str] = (), unknown: Sequence[str] = ()
) -> EnqueueError:
    """Return what a caller is told of a spool that did not take the mail."""
    happened = "may have the mail, and has not confirmed it" if unknown else "did not take the mail"
    return EnqueueError(
        f"the spool {happened} ({error}; MAILWORKER_ENQUEUE_TIMEOUT is {conf.MAILWORKER_ENQUEUE_TIMEOUT:g} s): "
        "check that its Redis runs and that MAILWORKER_SPOOL_URL (or the broker's URL) is right, or run `mailworker check`",
        accepted=accepted,
        unknown=unknown,
    )


def wake_workers(app: Celery, conf: Settings, lanes: Iterable[Lane]) -> None:
    """Wake workers for mails that the spool has; a broker that does not take a wake-up is logged.

    Args:
        app: whose broker carries the wake-ups.
        conf: the settings.
        lanes: in which mail is ready.
    """
    now = time.monotonic()
    for lane in lanes:
        if _quiet_until.get(app, 0.0) > now:
            return
        try:
            wake(app, conf.MAILWORKER_NAMESPACE, lane, conf.MAILWORKER_ENQUEUE_TIMEOUT)
        except PublishError as error:
            with _lock:
                _quiet_until[app] = time.monotonic() + _QUIET
            logger.warning(
                "the mail is in the spool, and no worker could be woken for it (%s): workers look each second",
                error,
                extra={"event": "wake_up_failed", "lane": lane.value},
            )
