"""Hand messages over to the queue: composed here, carried by the spool or by Celery tasks, bounded in time (DESIGN §3, §5).

What is wrong with a message is raised before anything has left: a call is checked in windows of 1000 messages (or
64 MiB), so that a short list goes whole or not at all while a long one needs bounded memory. A queue that does not confirm is
an `EnqueueError` that says which mails it has and which it may have. `enqueue` does all at once; `prepare` checks and encodes
now, for a caller that hands over later (behind a database's commit).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from celery import Celery

from mailworker import deadline, log, settings
from mailworker.errors import ConfigurationError, EnqueueError
from mailworker.mail.options import QueueOptions
from mailworker.queue import app as apps
from mailworker.queue import spools
from mailworker.queue.compose import Composed, Composer
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
    way = _way(options or _NO_OPTIONS)
    composer = way.composer(options or _NO_OPTIONS, mailer, fail_silently=fail_silently, login=login, clock=way.clock())
    return _carry(way, composer.windows(messages), fail_silently=fail_silently)


def prepare(
    messages: Iterable[EmailMessage],
    *,
    options: QueueOptions | None = None,
    mailer: str = "relay",
    fail_silently: bool = False,
    login: tuple[str, str] | None = None,
) -> Prepared:
    """Check and encode messages now, to hand them over later; nothing is connected to.

    Each message learns the id of its mail. Arguments and exceptions are those of `enqueue`, but for EnqueueError itself.
    """
    asked = options or _NO_OPTIONS
    way = _way(asked)
    # By this host's clock, until the queue's is asked.
    composer = way.composer(asked, mailer, fail_silently=fail_silently, login=login, clock=time.time)
    # For a log record of our own, nothing: as in `enqueue`.
    windows = [] if log.is_logging() else list(composer.windows(messages))
    for window in windows:
        for one in window:
            one.message.mail_id = one.mail.id
    return Prepared(way, composer, windows, fail_silently=fail_silently)


class Prepared:
    """Messages that are checked and encoded, and not yet handed over; made by `prepare`.

    Attributes:
        composed: the messages and their mails.
        fail_silently: a queue that does not take them is logged.
    """

    def __init__(self, way: _Way, composer: Composer, windows: list[list[Composed]], *, fail_silently: bool) -> None:
        self._way = way
        self._composer = composer
        self._windows = windows
        self._began = time.monotonic()
        self.composed = [one for window in windows for one in window]
        self.fail_silently = fail_silently

    def hand_over(self) -> list[str]:
        """Queue the messages, once; their delays count from when they were prepared.

        Returns, Raises: as `enqueue` does.
        """
        return _carry(self._way, self._timed(), fail_silently=self.fail_silently)

    def _timed(self) -> Iterator[list[Composed]]:
        clock = self._way.clock()
        for window in self._windows:
            prepared_at = clock() - (time.monotonic() - self._began)
            yield [self._composer.timed(one, prepared_at) for one in window]


@dataclass(frozen=True, slots=True)
class _Way:
    """Where mail goes, by the settings as they were when it was asked: into the spool, into tasks, or to its end here."""

    conf: Settings
    app: Celery
    is_eager: bool
    spool: RedisSpool | None

    def clock(self) -> Callable[[], float]:
        """Return the clock of whoever will look at the mails' times."""
        if self.is_eager:
            from mailworker.queue import eager

            # `run_due(at=...)` may have moved it ahead.
            return eager.spool().now
        return time.time if self.spool is None else self.spool.now

    def composer(
        self,
        options: QueueOptions,
        mailer: str,
        *,
        fail_silently: bool,
        login: tuple[str, str] | None,
        clock: Callable[[], float],
    ) -> Composer:
        in_spool = self.spool is not None
        return Composer(
            self.conf, options, mailer, fail_silently=fail_silently, login=login, clock=clock, in_spool=in_spool
        )


def _way(options: QueueOptions) -> _Way:
    conf = settings.current()
    app = apps.current()
    if apps.is_eager(app, conf):
        return _Way(conf, app, is_eager=True, spool=None)
    spool = spools.for_producers(app, conf)
    if spool is None:
        _refuse_spool_options(options)
    return _Way(conf, app, is_eager=False, spool=spool)


def _carry(way: _Way, windows: Iterator[list[Composed]], *, fail_silently: bool) -> list[str]:
    if way.is_eager:
        from mailworker.queue import eager

        return [mail_id for window in windows for mail_id in eager.deliver(window, fail_silently=fail_silently)]
    accepted: list[str] = []
    with accounted(accepted, fail_silently=fail_silently):
        if way.spool is None:
            _into_tasks(way.app, way.conf, windows, accepted)
        else:
            _into_spool(way.app, way.conf, way.spool, windows, accepted)
    return accepted


class accounted:  # noqa: N801 - used as a function
    """Say in what is raised in the block which of the call's mails the queue has; log what a silent call does not raise.

    Args:
        accepted: their ids, as they come.
        fail_silently: a queue that does not take them is logged.

    Raises:
        EnqueueError: the queue did not take them all.
    """

    __slots__ = ("_accepted", "_fail_silently")

    def __init__(self, accepted: list[str], *, fail_silently: bool) -> None:
        self._accepted = accepted
        self._fail_silently = fail_silently

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if isinstance(error, EnqueueError):
            # A message that is refused after earlier ones of a long call were queued is such an error as well.
            error.accepted = tuple(self._accepted)
            if self._fail_silently and type(error) is EnqueueError:
                logger.error("%s", error, extra={"accepted": len(error.accepted), "unknown": len(error.unknown)})
                return True
        elif isinstance(error, Exception) and self._accepted:
            # A generator of the caller's, or a bad header in it, after whole windows are on their way.
            error.add_note(
                f"{len(self._accepted)} mails of this call were queued before; a second call would queue them again"
            )
        return False


def _into_tasks(app: Celery, conf: Settings, windows: Iterator[list[Composed]], accepted: list[str]) -> None:
    from mailworker.queue import to_tasks

    for window in windows:
        # A call of up to a window's messages waits no longer than this in all.
        with deadline.within(conf.MAILWORKER_ENQUEUE_TIMEOUT):
            to_tasks.publish(app, conf, window, accepted)


def _into_spool(
    app: Celery, conf: Settings, spool: RedisSpool, windows: Iterator[list[Composed]], accepted: list[str]
) -> None:
    from mailworker.queue import to_spool
    from mailworker.spool.base import SpoolUnavailable

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
