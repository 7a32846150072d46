"""What a wake-up does: deliver from the spool what is ready, and stay a moment for what is coming (DESIGN §3).

Mails never leave the spool with it, so nothing that happens here can lose one, and nothing is raised: a spool that is away
is asked again by the look of the next second. A run is bounded, so that the other tasks of a user's worker have their turn.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from celery import Celery

from mailworker import framework, log, settings
from mailworker.delivery import foreign
from mailworker.delivery.seat import slot_name
from mailworker.lane import LANES, Lane
from mailworker.queue import heartbeat, lanes, runtime, shutdown, signals, spools
from mailworker.queue.publisher import PublishError
from mailworker.queue.wakeup import wake
from mailworker.settings import Settings
from mailworker.spool.base import SpoolUnavailable
from mailworker.spool.redis import RedisSpool

logger = log.get(__name__)

#: Seconds that one run may go on claiming; whoever is woken next goes on.
_MAX_RUN = 10.0

#: Seconds that a run stays for a mail that is known to come: what the worker's look takes at most.
_STAY = 1.0

#: Seconds that a worker may take to wake the next one.
_WAKE_TIMEOUT = 1.0


def drain(app: Celery, lane_name: Any) -> None:
    """Deliver what the app's spool has ready.

    Args:
        app: whose task it is.
        lane_name: the lane of the wake-up; whatever else it is, all lanes of this worker are looked at.
    """
    try:
        conf = settings.current()
        spool = spools.for_workers(app, conf)
        if spool is None:
            logger.warning("a worker was woken for a spool, and has none: do all processes have the same settings?")
            return
        _drain(app, conf, spool, lane_name)
    except SpoolUnavailable as error:
        logger.warning("the spool is away (%s): asked again in a second", error, extra={"event": "spool_away"})
    except BaseException as error:
        if not foreign.is_failure(error):
            raise
        logger.error("a run over the spool failed: %s", type(error).__name__)
    finally:
        shutdown.run_ended()


def _drain(app: Celery, conf: Settings, spool: RedisSpool, lane_name: Any) -> None:
    served = lanes.served(app, conf.MAILWORKER_NAMESPACE) or list(LANES)
    if lane_name in LANES:
        # Before the claim: what is put in from now on wakes somebody again.
        spool.woken(Lane(lane_name))
    ends = time.monotonic() + _MAX_RUN

    def should_stop() -> bool:
        heartbeat.between_messages()
        return shutdown.is_stopping() or time.monotonic() >= ends

    parts = runtime.current()
    pipeline = parts.pipeline(
        spool,
        should_stop,
        keeper=parts.keeper,
        slot=slot_name(),
        speed=parts.speed,
        tell=signals.send,
        around_batch=framework.current().around_batch,
        alive=heartbeat.between_messages,
        should_give_up=shutdown.is_killed,
    )
    pipeline.run(served, stay=_STAY, wake_next=lambda: wake_next(app, conf, spool, served))
    if time.monotonic() >= ends:
        wake_next(app, conf, spool, served)


def wake_next(app: Celery, conf: Settings, spool: RedisSpool, served: Sequence[Lane]) -> None:
    """Wake a worker for each lane that has something ready, unless one is on its way."""
    for lane, wait in spool.waits(served, ahead=0.0).items():
        if wait <= 0 and spool.wake(lane):
            try:
                wake(app, conf.MAILWORKER_NAMESPACE, lane, _WAKE_TIMEOUT)
            except PublishError as error:
                logger.warning("no other worker could be woken (%s)", error, extra={"event": "wake_up_failed"})
