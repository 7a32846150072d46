"""Hand messages over to the queue from an event loop, which is never held up: the twin of `producer`.

A small message is composed in the loop's thread, when it is its turn; a heavy one in a thread. The spool is spoken to on the
loop; workers are woken by a thread (`waker`). Without a spool, and in eager mode, `producer` does it all in a thread.

A call that is cancelled while a mail is on its way leaves that mail queued or not, never half; the message is noted as one
that may be, so that it is the same mail if it is sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from celery import Celery

from mailworker import deadline, log
from mailworker.loop import in_thread
from mailworker.mail.options import QueueOptions
from mailworker.queue import app as apps
from mailworker.queue import producer, to_spool
from mailworker.queue.compose import Composed, Composer, Window
from mailworker.queue.loops import Turns, here, prepared
from mailworker.queue.weight import is_heavy
from mailworker.settings import Settings

if TYPE_CHECKING:
    from mailworker.mail.message import EmailMessage
    from mailworker.spool.aio.spool import AsyncSpool

#: Any number of messages.
Messages = Iterable["EmailMessage"] | AsyncIterable["EmailMessage"]


async def enqueue(
    messages: Messages,
    *,
    options: QueueOptions | None = None,
    mailer: str = "relay",
    fail_silently: bool = False,
    login: tuple[str, str] | None = None,
) -> list[str]:
    """Queue messages; arguments, result and errors are those of `producer.enqueue`."""
    if log.is_logging():
        # Mail about our own log record would be the next record's cause (DESIGN §9).
        return []
    app, conf = await prepared()
    place = None if apps.is_eager(app, conf) else await here(app, conf)
    if place is None or place.spool is None:
        listed = [message async for message in messages] if isinstance(messages, AsyncIterable) else messages
        work = partial(producer.enqueue, options=options, mailer=mailer, fail_silently=fail_silently, login=login)
        return await in_thread(work, listed)
    spool, asked = place.spool, options or QueueOptions()
    accepted: list[str] = []
    with producer.accounted(accepted, fail_silently=fail_silently):
        composer = Composer(
            conf, asked, mailer, fail_silently=fail_silently, login=login, clock=spool.now, in_spool=True
        )
        await _into_spool(app, conf, spool, composer, place.turns, messages, accepted)
    return accepted


async def _into_spool(
    app: Celery,
    conf: Settings,
    spool: AsyncSpool,
    composer: Composer,
    turns: Turns,
    messages: Messages,
    accepted: list[str],
) -> None:
    from mailworker.spool.base import SpoolUnavailable

    try:
        with deadline.within(conf.MAILWORKER_ENQUEUE_TIMEOUT):
            await spool.set_clock()
    except SpoolUnavailable as error:
        raise to_spool.unavailable(conf, error) from None
    window = Window()
    async for message in each(messages):
        compose = partial(composer.compose, message)
        one = await (turns.in_thread(compose) if is_heavy(message) else turns.here(compose))
        if one is None:
            continue
        window.add(one)
        if window.is_full:
            await _put(app, conf, spool, window.composed, accepted)
            window = Window()
    await _put(app, conf, spool, window.composed, accepted)


async def _put(app: Celery, conf: Settings, spool: AsyncSpool, window: Sequence[Composed], accepted: list[str]) -> None:
    from mailworker.queue.waker import waker
    from mailworker.spool.intake import pipelines

    # A call of up to a window's messages waits no longer than this in all.
    with deadline.within(conf.MAILWORKER_ENQUEUE_TIMEOUT):
        for step in pipelines(window, lambda one: one.mail.size):
            lanes = {one.mail.lane for one in step}
            try:
                with to_spool.noted(conf, step, accepted):
                    lanes = await spool.put_and_wake([one.mail for one in step])
            except asyncio.CancelledError:
                # The spool may have taken the mail, and counts a worker as woken that nobody has woken.
                waker.ask(app, conf, lanes)
                raise
            if lanes:
                waker.ask(app, conf, lanes)


async def each(messages: Messages) -> AsyncIterator[EmailMessage]:
    """Yield messages, from an iterable of either kind."""
    if isinstance(messages, AsyncIterable):
        async for message in messages:
            yield message
        return
    for message in messages:
        yield message
