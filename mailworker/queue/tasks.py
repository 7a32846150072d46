"""The Celery tasks of mailworker: thin, they only call.

Every option that the safety of mail needs stands on the task, so that it holds in a user's app as well.
"""

from __future__ import annotations

from typing import Any

from celery import Celery, Task

from mailworker.queue.app import DELIVER, DRAIN


class _Task(Task):  # type: ignore[misc]  # celery has no types
    """What both tasks are like, whatever the app's defaults say."""

    abstract = True
    Request = "mailworker.queue.request:MailRequest"
    ignore_result = True
    store_errors_even_if_ignored = False
    track_started = False
    send_events = False
    serializer = "json"
    compression = None
    # 0, not None: None would take over the app's `task_default_rate_limit`, and its `task_time_limit`, which kills in the
    # middle of DATA.
    rate_limit = 0
    time_limit = 0
    soft_time_limit = 0

    @classmethod
    def annotate(cls) -> None:
        """Take nothing from the app's `task_annotations`: its limits are meant for the user's tasks."""


class Deliver(_Task):
    """Deliver the mails that the task itself carries."""

    name = DELIVER
    acks_late = True
    reject_on_worker_lost = True
    # A retry of Celery's own would hide from us that a worker was lost, and drops the cargo after the third.
    retry_on_worker_lost = False
    # An exception that got out would drop the cargo if it was acked or rejected; none gets out, and if one did, this
    # at least leaves it to the broker's dead-letter policy.
    acks_on_failure_or_timeout = False
    acks_on_failure = False
    acks_on_timeout = False

    def run(self, cargo: Any) -> None:
        """Deliver a cargo (`mailworker.queue.cargo`)."""
        # Here and not above: a web process registers the task, and never loads what delivers.
        from mailworker.queue import carrier

        app: Celery = self.app
        carrier.carry(app, cargo, redelivered=bool((self.request.delivery_info or {}).get("redelivered")))


class Drain(_Task):
    """Deliver what the spool has ready: a wake-up. Losing one costs a second, so it is acknowledged at once."""

    name = DRAIN
    acks_late = False
    reject_on_worker_lost = False

    def run(self, lane: Any = None) -> None:
        """Drain the spool, after a wake-up for a lane."""
        from mailworker.queue import drain

        app: Celery = self.app
        drain.drain(app, lane)


def for_app() -> list[Task]:
    """Return new tasks for one app: Celery writes that app's defaults onto the class of each task that it is given."""
    kinds: list[Any] = [Deliver, Drain]
    return [type(kind.__name__, (kind,), {"__module__": __name__})() for kind in kinds]
