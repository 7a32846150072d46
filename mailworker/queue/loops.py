"""What each event loop has of its own: a spool with its connections, and whose turn it is to compose.

Connections belong to the loop that opened them. They are closed when the loop ends its asynchronous generators, as
`asyncio.run()` and every server does; what a loop left that was closed without it, or a forked parent's, is dropped when the next loop
asks. When the settings change, the next call gets a new spool.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from celery import Celery

from mailworker import settings
from mailworker.lock import ForkSafeLock
from mailworker.loop import running
from mailworker.queue import app as apps
from mailworker.queue import spools
from mailworker.queue.compose import tools
from mailworker.settings import Settings

if TYPE_CHECKING:
    from mailworker.spool.aio.spool import AsyncSpool

T = TypeVar("T")


class Turns:
    """Gives tasks the loop's thread for a while that must not be divided: one in each round of the loop.

    When two hundred requests come at once, their messages would be composed in a row, and nobody else would be heard for
    as long.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._one = asyncio.Lock()

    async def here(self, work: Callable[[], T]) -> T:
        """Do a piece of work in the loop's thread."""
        await self._lock.acquire()
        # Not when it is done: whoever waits is to have the next round, not the rest of this one.
        asyncio.get_running_loop().call_soon(self._lock.release)
        return work()

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Do a larger piece in a thread, one at a time: several would fight with the loop for the interpreter."""
        async with self._one:
            return await asyncio.to_thread(work)


@dataclass(slots=True)
class Here:
    """What a loop has.

    Attributes:
        app: whose mail it is.
        conf: by these settings.
        spool: None = mail travels in Celery tasks.
        turns: who may compose.
        pid: the process that made it.
        keeper: closes the spool when the loop ends.
    """

    app: Celery
    conf: Settings
    spool: AsyncSpool | None
    turns: Turns = field(default_factory=Turns)
    pid: int = field(default_factory=os.getpid)
    keeper: AsyncIterator[None] | None = None


_lock = ForkSafeLock()
_here: WeakKeyDictionary[Any, Here] = WeakKeyDictionary()

#: The settings for which everything was imported and built that takes long.
_prepared: Settings | None = None

#: Loops on which somebody prepares -> who waits for it.
_preparing: WeakKeyDictionary[Any, asyncio.Lock] = WeakKeyDictionary()


async def prepared() -> tuple[Celery, Settings]:
    """Return the app that mail goes through and the settings as they are now; what takes long is done in a thread, once.

    Raises:
        ConfigurationError: a setting is wrong.
        RuntimeError: no loop of asyncio runs here.
    """
    running()
    if not _is_prepared():
        await _one_prepares()
    return apps.current(), settings.current()


async def here(app: Celery, conf: Settings) -> Here:
    """Return what the running loop has.

    Args:
        app: what `prepared` returned.
        conf: the same.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    loop = asyncio.get_running_loop()
    with _lock:
        known = _here.get(loop)
        if known is not None and known.app is app and known.conf is conf and known.pid == os.getpid():
            return known
        _drop_ended()
        made = _here[loop] = Here(app, conf, spools.for_loop(app, conf))
    if known is not None:
        _close(known)
    if made.spool is not None:
        made.keeper = _kept(made)
        await anext(made.keeper)
    return made


def close() -> None:
    """Close the connections of the running loop; the next call opens new ones."""
    with _lock:
        known = _here.pop(asyncio.get_running_loop(), None)
    if known is not None:
        _close(known)


def _is_prepared() -> bool:
    return _prepared is not None and settings.current() is _prepared


async def _one_prepares() -> None:
    """Prepare once for all that wait for it on this loop: a thread for each of them would hold the loop up for seconds."""
    loop = asyncio.get_running_loop()
    with _lock:
        turn = _preparing.setdefault(loop, asyncio.Lock())
    try:
        async with turn:
            if not _is_prepared():
                await asyncio.to_thread(_prepare)
    finally:
        # Those that wait have it in hand; it knows its loop, and would keep it.
        with _lock:
            _preparing.pop(loop, None)


def _prepare() -> None:
    """Import and build what takes long, where it holds nobody up."""
    global _prepared
    conf = settings.current()
    app = apps.current()
    app.finalize()
    tools(conf)
    if spools.url(app, conf) is not None:
        from mailworker.queue import waker  # noqa: F401 - with what publishes
        from mailworker.spool.aio import spool  # noqa: F401
        from mailworker.spool.script import scripts

        scripts()
    _prepared = conf


async def _kept(of: Here) -> AsyncIterator[None]:
    try:
        yield
    finally:
        _close(of)


def _close(one: Here) -> None:
    if one.spool is not None:
        one.spool.close()


def _drop_ended() -> None:
    """Forget what loops have left that run no more, or that are a forked parent's: they hold each other."""
    for loop, one in list(_here.items()):
        if loop.is_closed() or one.pid != os.getpid():
            del _here[loop]
            _close(one)
