"""mailworker in a Starlette application, or any other one on an event loop that has a lifespan.

Sending needs nothing of this: `await mailworker.asend_mail(...)` works in any loop. The lifespan moves what takes long the first
time to the start, tells wrong settings there, and closes what is open at the end.
"""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mailworker import log, settings
from mailworker.loop import in_thread

logger = log.get(__name__)

#: What is loaded has been set aside from the interpreter's collections of garbage.
_is_set_aside = False


@asynccontextmanager
async def lifespan(app: object = None) -> AsyncIterator[None]:
    """Get ready to send mail, and close the connections at the end.

    Give it to the application, ``Starlette(lifespan=lifespan)``, or enter it in a lifespan of your own,
    ``async with lifespan(app): yield``.

    A queue that does not answer is logged, and does not keep the application from starting.

    Args:
        app: the application, which is not looked at.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    conf = await in_thread(settings.current)
    if not conf.mailer("default").is_queue:
        yield
        return
    await _get_ready()
    try:
        yield
    finally:
        await _end()


async def _get_ready() -> None:
    from mailworker.queue import aclient

    await aclient.load()
    from mailworker.queue import app as apps
    from mailworker.queue import loops

    app, conf = await loops.prepared()
    if apps.is_eager(app, conf):
        return
    place = await loops.here(app, conf)
    if place.spool is not None:
        from mailworker.spool.base import SpoolUnavailable

        try:
            await place.spool.set_clock()
        except SpoolUnavailable as error:
            logger.warning("the spool does not take mail yet (%s): run `mailworker check`", error)
    _set_aside()


def _set_aside() -> None:
    """Let the interpreter's collector pass over what is loaded, and stays as long as the process does.

    To go through all of Celery's modules and the application's holds every request up for 50 ms each time.
    """
    global _is_set_aside
    if not _is_set_aside:
        gc.collect()
        gc.freeze()
        _is_set_aside = True


async def _end() -> None:
    from mailworker.queue import loops
    from mailworker.queue.waker import waker

    await in_thread(waker.flush)
    loops.close()
