"""On which event loop a call is: one of asyncio's, for connections, threads and locks of ours are of that kind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def running() -> asyncio.AbstractEventLoop:
    """Return the loop that runs here.

    Raises:
        RuntimeError: none of asyncio's does.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "no event loop of asyncio runs here, and mailworker's awaitable functions need one: start yours with asyncio.run(), or with "
            "anyio's backend 'asyncio'; under trio, let a thread call the function of the same name without the first a, such as "
            "trio.to_thread.run_sync(message.send)"
        ) from None


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do something in a thread that may wait, with the caller's context variables.

    Raises:
        RuntimeError: no loop of asyncio runs here.
    """
    running()
    return await asyncio.to_thread(work, *args, **kwargs)
