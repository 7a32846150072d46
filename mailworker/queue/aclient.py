"""What a program on an event loop asks of the queue: the awaitable twins of `client`.

Arguments, results and errors are those of the twins. What a web request does (queue, look, take back) goes over the loop's own
connections to the spool; what people do now and then (replay, groups) is done by the twin in a thread. Nothing of Celery is imported
with this module: a program may first name its functions on its loop. The first call has it imported in a thread.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, TypeVar, Unpack, cast

from mailworker import deadline
from mailworker.loop import in_thread
from mailworker.mail.options import AskedOptions, asked_options

if TYPE_CHECKING:
    from mailworker.mail.message import EmailMessage
    from mailworker.queue.client import MailId
    from mailworker.spool.aio.spool import AsyncSpool
    from mailworker.spool.record import MailStatus, State

T = TypeVar("T")

#: What the calls need is imported, whole: whoever imports it while it is not waits.
_is_loaded = False


async def aenqueue(
    messages: EmailMessage | Iterable[EmailMessage] | AsyncIterable[EmailMessage],
    *,
    using: str | None = None,
    fail_silently: bool = False,
    **options: Unpack[AskedOptions],
) -> list[MailId]:
    """Queue one message, or any number of them, and return the ids of their mails; see `mailworker.enqueue`.

    Args:
        messages: as there; an asynchronous iterable, too.
        using: as there, as for all that follow.
        fail_silently: the same.
        **options: the same.

    Raises:
        EnqueueError: as there, and whatever else is raised there.
    """
    asked = asked_options("aenqueue()", options)
    await load()
    from mailworker.queue import aproducer, client

    # By what it can do, not by its class: Django's messages are as welcome as ours.
    many = cast("Iterable[EmailMessage]", [messages] if hasattr(messages, "recipients") else messages)
    if asked.key is not None:
        many = [message async for message in aproducer.each(many)]
        client.check_key(asked.key, many)
    mailer = client.delivery_mailer(using)
    return await aproducer.enqueue(many, options=asked, mailer=mailer, fail_silently=fail_silently)


async def astatus(mail_id: MailId) -> MailStatus | None:
    """Return what became of a mail so far, None if it is not known (any more); see `mailworker.status`."""
    await load()
    from mailworker.queue import client

    client.check_id("astatus()", mail_id)
    return await _asked(lambda spool: spool.status(mail_id), lambda: client.status(mail_id))


async def acancel(mail_id: MailId) -> bool:
    """Take back a mail that has not gone yet; see `mailworker.cancel`."""
    await load()
    from mailworker.queue import client

    client.check_id("acancel()", mail_id)
    return await _asked(lambda spool: spool.cancel(mail_id), lambda: client.cancel(mail_id))


async def areplay(mail_id: MailId) -> bool:
    """Try a dead or held mail again; see `mailworker.replay`."""
    await load()
    from mailworker.queue import client

    return await in_thread(client.replay, mail_id)


async def astatus_of_group(group: str) -> Mapping[State, int]:
    """Count the mails of a group by state; see `mailworker.status_of_group`."""
    await load()
    from mailworker.queue import client

    return await in_thread(client.status_of_group, group)


async def acancel_group(group: str) -> None:
    """Take back what has not gone yet of a group; see `mailworker.cancel_group`."""
    await load()
    from mailworker.queue import client

    await in_thread(client.cancel_group, group)


async def _asked(ask: Callable[[AsyncSpool], Awaitable[T]], by_twin: Callable[[], T]) -> T:
    from mailworker.queue import app as apps
    from mailworker.queue.client import cannot_be_asked
    from mailworker.queue.loops import here, prepared
    from mailworker.spool.base import SpoolUnavailable

    app, conf = await prepared()
    place = None if apps.is_eager(app, conf) else await here(app, conf)
    if place is None or place.spool is None:
        return await in_thread(by_twin)
    try:
        with deadline.within(conf.MAILWORKER_ENQUEUE_TIMEOUT):
            return await ask(place.spool)
    except SpoolUnavailable as error:
        raise cannot_be_asked(error) from None


async def load() -> None:
    """Import what the calls need, if nobody has: half a second, in a thread."""
    global _is_loaded
    if not _is_loaded:
        for name in ("aproducer", "client"):
            await in_thread(import_module, f"mailworker.queue.{name}")
        _is_loaded = True
