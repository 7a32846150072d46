"""The Celery queues of mailworker: one for each lane, and one for dead cargo.

Their names follow from the namespace. Producer and worker must declare a queue with the same arguments (RabbitMQ
refuses a second declaration that differs), so both take them from here.
"""

from __future__ import annotations

from celery import Celery
from kombu import Exchange, Queue

from mailworker.lane import LANES, Lane


def queue_name(namespace: str, lane: Lane) -> str:
    """Return the name of a lane's queue, `mailworker.normal` for instance."""
    return f"{namespace}.{lane.value}"


def dead_queue_name(namespace: str) -> str:
    """Return the name of the queue where dead, held and undecodable cargo waits for a person."""
    return f"{namespace}.dead"


def declared(name: str) -> Queue:
    """Return the declaration of one of our queues: durable, direct, bound under its own name."""
    return Queue(name, Exchange(name, type="direct", durable=True, delivery_mode=2), routing_key=name, durable=True)


def add_to(app: Celery, namespace: str) -> None:
    """Make a worker of `app` consume our lanes, highest first, unless it is told `-Q` later."""
    for lane in LANES:
        app.amqp.queues.select_add(declared(queue_name(namespace, lane)))


def served(app: Celery, namespace: str) -> list[Lane]:
    """Return the lanes whose queues this process's worker consumes, highest first."""
    consumed = set(app.amqp.queues.consume_from)
    return [lane for lane in LANES if queue_name(namespace, lane) in consumed]


def lane_queue(app: Celery, namespace: str, lane: Lane) -> Queue:
    """Return a lane's queue as the app declares it (an app's `task_queue_max_priority` adds an argument to it)."""
    return queue_named(app, queue_name(namespace, lane))


def queue_named(app: Celery, name: str) -> Queue:
    """Return one of our queues as the app declares it."""
    queues = app.amqp.queues
    return queues[name] if name in queues else queues.add(declared(name))
