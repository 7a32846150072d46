"""Mails into Celery tasks: the carrier where there is no spool. A broker that does not confirm is an `EnqueueError`."""

from __future__ import annotations

import time
from collections.abc import Sequence

from celery import Celery

from mailworker.errors import EnqueueError
from mailworker.queue.compose import Composed, tools
from mailworker.queue.dispatch import MAX_HOP, Dispatch, chunks
from mailworker.queue.publisher import PublishError
from mailworker.settings import Settings
from mailworker.spool.record import Mail


def publish(app: Celery, conf: Settings, window: Sequence[Composed], accepted: list[str]) -> None:
    """Publish composed messages as `deliver` tasks.

    Args:
        app: whose broker is used.
        conf: the settings.
        window: what to publish.
        accepted: gets the ids of the mails that the broker has confirmed.

    Raises:
        EnqueueError: the broker did not take them all.
    """
    dispatch = Dispatch(app, conf.MAILWORKER_NAMESPACE, tools(conf).sealer, conf.MAILWORKER_ENQUEUE_TIMEOUT)
    composed = {one.mail.id: one for one in window}
    now = time.time()
    for chunk in chunks(one.mail for one in window):
        ids = [mail.id for mail in chunk]
        try:
            dispatch.deliver(chunk, countdown=_countdown(chunk, now))
        except PublishError as error:
            for mail_id in ids if error.maybe_published else ():
                composed[mail_id].lost_from_sight()
            # `from None`: a hundred lines of kombu and amqp say less than the reason does.
            raise EnqueueError(
                f"the broker did not take the mail ({error}; MAILWORKER_ENQUEUE_TIMEOUT is "
                f"{conf.MAILWORKER_ENQUEUE_TIMEOUT:g} s): check that it runs and that MAILWORKER_BROKER_URL is right, or "
                "run `mailworker check`",
                accepted=accepted,
                unknown=ids if error.maybe_published else (),
            ) from None
        accepted += ids
        for mail_id in ids:
            composed[mail_id].queued()


def _countdown(chunk: Sequence[Mail], now: float) -> float:
    return min(MAX_HOP, max(0.0, min(mail.due_at for mail in chunk) - now))
