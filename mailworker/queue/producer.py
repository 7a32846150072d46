"""Hand messages over to the queue: composed here, carried by the spool or by Celery tasks, bounded in time (DESIGN §3, §5).

What is wrong with a message is raised before anything has left: a call is checked in windows of 1000 messages (or
64 MiB), so that a short list goes whole or not at all while a long one needs bounded memory. A queue that does not confirm is
an `EnqueueError` that says which mails it has and which it may have.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from celery import Celery

from mailworker import deadline, log, settings
from mailworker.errors import ConfigurationError, EnqueueError
from mailworker.mail.options import QueueOptions
from mailworker.queue import app as apps
from mailworker.queue import spools
from mailworker.queue.compose import Composer
from mailworker.settings import Settings

if TYPE_CHECKING:
    from mailworker.mail.message import EmailMessage
    from mailworker.spool.redis import RedisSpool

logger = log.get(__name__)

#: Options that only a spool can keep: the task carrier knows a mail only while a worker has it.
_NEED_SPOOL = ("key", "group")

_NO_OPTIONS = QueueOptions()


def enqueue(
    messages: Iterable[EmailMessage],
    *,
    options: QueueOptions | None = None,
    mailer: str = "relay",
    fail_silently: bool = False,
    login: tuple[str, str] | None = None,
) -> list[str]:
    """Queue messages.

    Args:
        messages: any number; one without recipients is passed over.
        options: when and how they travel.
        mailer: alias of the mailer that the worker delivers with.
        fail_silently: a queue that does not take them is logged, and their delivery ends as dropped if it fails.
        login: user and password for the relay, for these messages only; needs MAILWORKER_ENCRYPTION_KEYS.

    Returns:
        The ids of the mails that the queue has, in the messages' order.

    Raises:
        BadHeaderError, InvalidAddress: a header or an address of a message is not allowed.
        UnserializableMessage, MessageTooLarge: a message cannot be carried.
        ConfigurationError: an option or a login needs a setting that is not there.
        EnqueueError: the queue did not take them all.
        DeliveryFailed: in eager mode, the relay did not.
    """
    if log.is_logging():
        # Mail about our own log record would be the next record's cause (DESIGN §9).
        return []
    conf = settings.current()
    app = apps.current()
    asked = options or _NO_OPTIONS

    def composer(clock: Callable[[], float], *, in_spool: bool) -> Composer:
        return Composer(conf, asked, mailer, fail_silently=fail_silently, login=login, clock=clock, in_spool=in_spool)

    if conf.MAILWORKER_TASK_ALWAYS_EAGER or app.conf.task_always_eager:
        from mailworker.queue import eager

        ids: list[str] = []
        # By the eager spool's clock: `run_due(at=...)` may have moved it ahead.
        for window in composer(eager.spool().now, in_spool=False).windows(messages):
            ids += eager.deliver(window, fail_silently=fail_silently)
        return ids
    accepted: list[str] = []
    try:
        spool = spools.for_producers(app, conf)
        if spool is None:
            _refuse_spool_options(asked)
            _into_tasks(app, conf, composer(time.time, in_spool=False), messages, accepted)
        else:
            _into_spool(app, conf, spool, composer(spool.now, in_spool=True), messages, accepted)
    except EnqueueError as error:
        # A message that is refused after earlier ones of a long call were queued is such an error as well.
        error.accepted = tuple(accepted)
        if not fail_silently or type(error) is not EnqueueError:
            raise
        logger.error("%s", error, extra={"accepted": len(error.accepted), "unknown": len(error.unknown)})
    except Exception as error:
        if accepted:
            # A generator of the caller's, or a bad header in it, after whole windows are on their way.
            error.add_note(
                f"{len(accepted)} mails of this call were queued before; a second call would queue them again"
            )
        raise
    return accepted


def _into_tasks(
    app: Celery, conf: Settings, composer: Composer, messages: Iterable[EmailMessage], accepted: list[str]
) -> None:
    from mailworker.queue import to_tasks

    for window in composer.windows(messages):
        # A call of up to a window's messages waits no longer than this in all.
        with deadline.within(conf.MAILWORKER_ENQUEUE_TIMEOUT):
            to_tasks.publish(app, conf, window, accepted)


def _into_spool(
    app: Celery,
    conf: Settings,
    spool: RedisSpool,
    composer: Composer,
    messages: Iterable[EmailMessage],
    accepted: list[str],
) -> None:
    from mailworker.queue import to_spool
    from mailworker.spool.base import SpoolUnavailable

    windows = composer.windows(messages)
    try:
        with deadline.within(conf.MAILWORKER_ENQUEUE_TIMEOUT):
            # Times are the spool's; most often it need not be asked.
            spool.now()
        while (window := next(windows, None)) is not None:
            # A call of up to a window's messages waits no longer than this in all.
            with deadline.within(conf.MAILWORKER_ENQUEUE_TIMEOUT):
                to_spool.put(app, conf, spool, window, accepted)
    except SpoolUnavailable as error:
        raise to_spool.unavailable(conf, error) from None


def _refuse_spool_options(options: QueueOptions) -> None:
    for name in _NEED_SPOOL:
        if getattr(options, name) is not None:
            raise ConfigurationError(
                f"{name}= needs the spool, and mail travels in Celery tasks here: set MAILWORKER_SPOOL_URL to a Redis, or "
                f"leave {name}= out"
            )
