"""What a worker that stops does with mails in its hand that it has not begun: it puts them back as they were.

Celery leaves to the broker what it has fetched and not begun, and the broker then calls it redelivered, as it calls what a
lost worker had begun: such a mail would be flagged in doubt, or held, although nobody ever tried it. So what waits in the
worker for its time or for a slot is published again, confirmed, and acknowledged, and so is what a fetch on its way still
brings. What is in the pool already gets the time to end there: a slot that is to stop puts back itself what it has not sent.
What cannot be put back is left to the broker after all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from celery import Celery
from celery.utils.timer2 import Timer
from celery.worker import state

from mailworker import log, settings
from mailworker.lane import LANES
from mailworker.mail.sealing import Sealer
from mailworker.queue import cargo, lanes
from mailworker.queue.app import DELIVER
from mailworker.queue.dispatch import Dispatch
from mailworker.queue.publisher import PublishError
from mailworker.queue.request import MailRequest

logger = log.get(__name__)

#: Seconds that one publish may take: a worker that is told to stop has little time.
_TIMEOUT = 2.0

#: Seconds that tasks in the pool get to end: they send no more than the messages that are on the wire.
_PATIENCE = 10.0

#: Seconds for Redis to answer a fetch that has something to bring.
_LAST_FETCH = 0.5

#: Seconds that the event loop waits where it is to wait for nothing; with 0 the event would be over before it waits.
_NOW = 0.01


def unbegun_mail(worker: Any) -> None:
    """Put back what a worker that stops has fetched and not begun.

    Args:
        worker: Celery's, as long as its consumer has a connection, and its pool works.
    """
    consumer = worker.consumer
    if consumer is None or not consumer.connection or consumer.task_consumer is None:
        return
    late = _PutBack(consumer.app)
    try:
        consumer.strategies[DELIVER] = late
        if consumer.connection.transport.driver_type == "redis":
            # No more is fetched as long as anything is in hand; what a fetch has brought already is read once nothing is.
            consumer.task_consumer.qos(prefetch_count=1)
            _let_pool_end(worker.hub)
            _put_back(consumer)
            _end_fetch(consumer, late, worker.hub)
        else:
            _end_fetch(consumer, late, worker.hub)
            _let_pool_end(worker.hub)
            _put_back(consumer)
    except PublishError as error:
        logger.warning("mails that were not begun are left to the broker: %s", error)
    except Exception as error:  # noqa: BLE001 - the worker has to end, whatever is wrong here
        logger.warning("mails that were not begun are left to the broker: %s", type(error).__name__)


class _PutBack:
    """What becomes of a task with mail that is fetched although the worker stops.

    Args:
        app: whose worker it is.

    Attributes:
        count: how many such tasks came so far.
    """

    def __init__(self, app: Celery) -> None:
        self._app = app
        self.count = 0

    def __call__(self, message: Any, *_: Any, **__: Any) -> None:
        self.count += 1
        try:
            self._put_back(message)
        except PublishError as error:
            logger.warning("mails that were not begun are left to the broker: %s", error)

    def _put_back(self, message: Any) -> None:
        request = MailRequest(message, app=self._app, task=self._app.tasks[DELIVER])
        if _may_be_begun(request):
            message.requeue()
            return
        if cargo.ids(request.args[0]):
            _again(self._app, request)
        message.ack()


def _may_be_begun(request: MailRequest) -> bool:
    """Tell whether another worker may have begun a task before: then it has to come back as the broker says it did."""
    return bool(request.delivery_info["redelivered"])


def _again(app: Celery, request: MailRequest) -> None:
    """Publish a task as it is once more."""
    dispatch = Dispatch(app, settings.current().MAILWORKER_NAMESPACE, Sealer(()), _TIMEOUT)
    wait = max(0.0, request.waits_until - time.time())
    dispatch.again(request.args[0], str(request.delivery_info["routing_key"]), countdown=wait)


def _end_fetch(consumer: Any, late: _PutBack, hub: Any) -> None:
    """End the fetching of mail, with what it still brings.

    A task without cargo goes first: it tells, within its bound, whether the broker is there to answer to the rest; and on
    Redis it is what the BRPOP that is on its way comes back with, if nothing else was there.
    """
    namespace = settings.current().MAILWORKER_NAMESPACE
    ours = {lanes.queue_name(namespace, lane) for lane in LANES}
    fetched_from = sorted(ours & {queue.name for queue in consumer.task_consumer.queues})
    if not fetched_from:
        return
    is_redis = consumer.connection.transport.driver_type == "redis"
    if is_redis and hub is not None:
        # Takes up again what was left unread for lack of a slot. That is there or not: without an event soon the loop would wait
        # for one, up to a second.
        hub.call_later(_NOW, _nothing)
        hub.run_once()
    Dispatch(consumer.app, namespace, Sealer(()), _TIMEOUT).again(cargo.EMPTY, fetched_from[0], countdown=0.0)
    if is_redis:
        _read_last_fetch(consumer.connection, late)
    consumer.task_consumer.cancel()


def _nothing() -> None:
    """Happen."""


def _read_last_fetch(connection: Any, late: _PutBack) -> None:
    """Read until a task with mail has come: then no BRPOP is on its way. Other events (a broadcast) may come before it."""
    before, ends = late.count, time.monotonic() + _LAST_FETCH
    with suppress(TimeoutError):
        while late.count == before and (left := ends - time.monotonic()) > 0:
            connection.drain_events(timeout=left)


def _put_back(consumer: Any) -> None:
    timer = consumer.timer
    if isinstance(timer, Timer):
        # Where no event loop runs, the timer is a thread, and would start one while it is put back.
        timer.stop()
    timed = [(entry, request) for entry, request in _timed(timer) if not _may_be_begun(request)]
    for entry, request in timed:
        _again(consumer.app, request)
        entry.cancel()
        request.message.ack()
    # The pool takes nothing any more, so that what it was not given by now it never is.
    slotless = [request for request in _with_cargo() if not _is_in_pool(request) and not _may_be_begun(request)]
    for request in slotless:
        _again(consumer.app, request)
        request.message.ack()
    if timed or slotless:
        logger.info("put back %d tasks with mail that was not begun", len(timed) + len(slotless))


def _let_pool_end(hub: Any) -> None:
    """Run the event loop on until the pool has ended all mail that it was given; pools without one need none."""
    ends = time.monotonic() + _PATIENCE
    while hub is not None and any(map(_is_in_pool, _reserved())):
        if time.monotonic() >= ends or state.should_terminate:
            return
        hub.run_once()


def _reserved() -> list[MailRequest]:
    """Return what this worker has in hand of our tasks; a wake-up carries nothing, and Celery gives those back by itself."""
    return [request for request in state.reserved_requests if isinstance(request, MailRequest)]


def _with_cargo() -> list[MailRequest]:
    return [request for request in _reserved() if request.name == DELIVER]


def _is_in_pool(request: MailRequest) -> bool:
    return request in state.active_requests or request.is_submitted


def _timed(timer: Any) -> Iterator[tuple[Any, MailRequest]]:
    for scheduled in timer.queue:
        entry = scheduled.entry
        request = entry.args[0] if entry.args and not entry.canceled else None
        if isinstance(request, MailRequest) and request.name == DELIVER:
            yield entry, request
