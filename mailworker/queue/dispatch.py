"""Mails to the broker: chunks of them as `deliver` tasks, dead ones as plain messages.

Producer and worker both send through here, so that what a task may carry is decided in one place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from celery import Celery

from mailworker.lock import ForkSafeLock
from mailworker.mail.sealing import Sealer
from mailworker.queue import cargo, lanes
from mailworker.queue.app import DELIVER
from mailworker.queue.publisher import Publisher
from mailworker.spool.record import Mail

#: Mails that one task carries at most: what a redelivery may repeat.
MAX_CHUNK = 50

#: Payload bytes that one task carries at most, unless a single mail is larger.
MAX_CHUNK_BYTES = 200 * 1024

#: Seconds that a task's ETA may lie ahead. On Redis a task whose ETA lies beyond the visibility timeout (1 h) runs several
#: times, and RabbitMQ ends a consumer that has not acked for 30 min; both clocks run while a worker holds the task. A mail
#: that is due later makes several hops.
MAX_HOP = 600.0

_publishers: WeakKeyDictionary[Celery, dict[float, Publisher]] = WeakKeyDictionary()
_lock = ForkSafeLock()


class Dispatch:
    """Sends mails to the broker of an app.

    Args:
        app: whose broker and tasks are used.
        namespace: names the queues.
        sealer: encrypts cargo where keys are set.
        timeout: seconds that one publish may take.
    """

    def __init__(self, app: Celery, namespace: str, sealer: Sealer, timeout: float) -> None:
        self._app = app
        self._namespace = namespace
        self._sealer = sealer
        self._publisher = publisher(app, timeout)

    def deliver(self, mails: Sequence[Mail], countdown: float = 0.0) -> None:
        """Publish one `deliver` task with these mails, all of one lane.

        Args:
            mails: a chunk.
            countdown: seconds before a worker may start it.

        Raises:
            PublishError: the broker did not confirm it.
        """
        packed = cargo.pack(mails, self._sealer)
        queue = lanes.lane_queue(self._app, self._namespace, mails[0].lane)
        shown = cargo.shown([mail.id for mail in mails])
        task = self._app.tasks[DELIVER]
        self._publisher.task(task, (packed,), queue, argsrepr=shown, countdown=countdown)

    def again(self, packed: Any, queue_name: str, countdown: float) -> None:
        """Publish a task's cargo as it is once more, into the queue that it came from.

        Args:
            packed: the cargo.
            queue_name: of a lane.
            countdown: seconds before a worker may start it.

        Raises:
            PublishError: the broker did not confirm it.
        """
        task = self._app.tasks[DELIVER]
        queue = lanes.queue_named(self._app, queue_name)
        self._publisher.task(task, (packed,), queue, argsrepr=cargo.shown(cargo.ids(packed)), countdown=countdown)

    def dead(self, entry: dict[str, Any]) -> None:
        """Publish an entry to the dead queue.

        Raises:
            PublishError: the broker did not confirm it.
        """
        self._publisher.message(entry, lanes.declared(lanes.dead_queue_name(self._namespace)))


def chunks(mails: Iterable[Mail], *, alone: bool = False) -> Iterator[list[Mail]]:
    """Cut mails into what one task may carry, keeping their order within a lane.

    Args:
        mails: any number, consumed as the chunks are.
        alone: one mail a task.
    """
    chunk: list[Mail] = []
    size = 0
    for mail in mails:
        full = len(chunk) >= MAX_CHUNK or size + len(mail.payload) > MAX_CHUNK_BYTES
        if chunk and (alone or full or mail.lane is not chunk[0].lane):
            yield chunk
            chunk, size = [], 0
        chunk.append(mail)
        size += len(mail.payload)
    if chunk:
        yield chunk


def publisher(app: Celery, timeout: float) -> Publisher:
    """Return the process's publisher for an app and a bound."""
    with _lock:
        of_app = _publishers.setdefault(app, {})
        if timeout not in of_app:
            of_app[timeout] = Publisher(app, timeout)
        return of_app[timeout]


def close(app: Celery) -> None:
    """Close the connections that publishing to an app has left open."""
    with _lock:
        of_app = _publishers.pop(app, {})
    for one in of_app.values():
        one.close()
