"""Wake-ups: a task without cargo, in the queue of a lane, that makes a worker look into the spool.

Losing one costs a second, since workers look by themselves; too many cost only a look each. So they are neither retried nor
kept for long, and whether one is needed is the spool's to say (one flag for each lane).
"""

from __future__ import annotations

from celery import Celery

from mailworker.lane import Lane
from mailworker.queue import lanes
from mailworker.queue.app import DRAIN
from mailworker.queue.dispatch import publisher

#: Seconds after which a wake-up that no worker had time for is dropped by whoever fetches it: those that are busy look
#: again by themselves when they are done.
_EXPIRES = 60.0


def wake(app: Celery, namespace: str, lane: Lane, timeout: float) -> None:
    """Publish a wake-up.

    Args:
        app: whose broker carries it.
        namespace: names the queue.
        lane: in which mail is ready.
        timeout: seconds that it may take.

    Raises:
        PublishError: the broker did not confirm it.
    """
    queue = lanes.lane_queue(app, namespace, lane)
    task = app.tasks[DRAIN]
    publisher(app, timeout).task(task, (lane.value,), queue, argsrepr=f"({lane.value})", expires=_EXPIRES)
