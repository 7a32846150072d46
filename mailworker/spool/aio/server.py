"""The way to the Redis that holds the spool, for one event loop: connections to it, and calls over them.

The twin of `spool.server`: where the primary is, and what a failure means, `whereabouts` says for both. No wait outlasts the
caller's deadline (`mailworker.deadline`), nothing is done twice but what was certainly not done, and every failure is a
`SpoolUnavailable` in our own words. A connection on which an answer may still come (the call was cancelled, or was too slow)
is closed, never used again.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from redis.exceptions import RedisError, ResponseError

from mailworker.deadline import left, within
from mailworker.refusal import reason
from mailworker.settings import safe_url
from mailworker.spool.aio.line import Line, Lines
from mailworker.spool.base import SpoolUnavailable
from mailworker.spool.calls import Say
from mailworker.spool.connecting import MAX_IDLE
from mailworker.spool.whereabouts import Address, Failure, Lost, Whereabouts, servers_of

T = TypeVar("T")


class AsyncServer:
    """Leads calls to the Redis that holds a spool, for the tasks of one event loop.

    Args:
        url: of the Redis; nothing is connected to yet.
        timeout: seconds that one `run` may take.
        slot_key: any of the spool's keys: in a cluster it tells which node holds them.
        most: connections at one time. More tasks than that wait for their turn: to open one takes the loop longer than a few
            calls over one that is open, and so many answers at once are what one round of the loop has to work off.
        clock: monotonic seconds.

    Attributes:
        url_shown: the URL without its password.

    Raises:
        ConfigurationError: the URL cannot be read.
    """

    def __init__(
        self,
        url: str,
        timeout: float,
        *,
        slot_key: str,
        most: int = 16,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.url_shown = safe_url(url)
        to = servers_of(url)
        self._timeout = timeout
        self._clock = clock
        self._where = Whereabouts(to, slot_key, self._drop_idle)
        self._way = _OnLoop(Lines(to))
        self._places = asyncio.Semaphore(most)
        self._idle: list[Line] = []
        self._is_closed = False

    async def run(self, call: Callable[[Say], Awaitable[T]]) -> T:
        """Return what `call` returns for somebody who says commands to the primary, all over one connection.

        `call` is made a second time where the first one was certainly in vain: with replies only that refused.

        Raises:
            SpoolUnavailable: as `spool.server.Server.run`.
        """
        with within(self._timeout):
            answer = await self._in_place(call)
        if isinstance(answer, Failure):
            # Outside of any `except`: the client's own errors repeat commands, and so pieces of mails.
            raise SpoolUnavailable(answer.text, maybe_done=answer.maybe_done)
        return answer

    def close(self) -> None:
        """Close the idle connections; those that are in use are closed when their calls end."""
        self._is_closed = True
        self._drop_idle()

    async def _in_place(self, call: Callable[[Say], Awaitable[T]]) -> T | Failure:
        try:
            async with asyncio.timeout(left()):
                await self._places.acquire()
        except TimeoutError as error:
            # All those before us wait for it.
            return Failure(reason(error))
        try:
            answer = await self._run(call)
            if isinstance(answer, Failure) and answer.again:
                answer = await self._run(call, answer.ask)
        finally:
            self._places.release()
        return answer

    async def _run(self, call: Callable[[Say], Awaitable[T]], ask: Address | None = None) -> T | Failure:
        line = await self._line(ask)
        if isinstance(line, Failure):
            return line
        line.begin()
        try:
            async with asyncio.timeout(left()):
                answer = await call(line.say)
        except (RedisError, OSError) as error:
            if isinstance(error, ResponseError):
                self._give_back(line)
            else:
                line.close()
            return self._where.failed(line.address, error, has_sent=line.has_sent, answered=line.answered)
        except BaseException:
            line.close()
            raise
        self._give_back(line)
        return answer

    async def _line(self, ask: Address | None) -> Line | Failure:
        """Return a connection to the primary that works; a new one to `ask` if that is given."""
        primary = self._where.primary
        try:
            async with asyncio.timeout(left()):
                if ask is not None:
                    line = await self._way.open(ask)
                    line.asking = True
                    return line
                if primary is None:
                    return await self._where.find(self._way)
                return self._idle_line(primary) or await self._way.open(primary)
        except (RedisError, OSError) as error:
            return self._where.unreached(error, primary if ask is None else None)
        except Lost as lost:
            return Failure(lost.text)

    def _idle_line(self, primary: Address) -> Line | None:
        while self._idle:
            line = self._idle.pop()
            is_fresh = line.address == primary and self._clock() - line.used_at < MAX_IDLE
            if is_fresh and line.is_quiet():
                return line
            line.close()
        return None

    def _give_back(self, line: Line) -> None:
        line.used_at = self._clock()
        is_wanted = not self._is_closed and not line.asking and line.address == self._where.primary
        if is_wanted and line.pid == os.getpid():
            self._idle.append(line)
        else:
            line.close()

    def _drop_idle(self) -> None:
        idle, self._idle = self._idle, []
        for line in idle:
            line.close()


class _OnLoop:
    """`Way` on an event loop; each step within what is left to the caller."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    async def open(self, address: Address, *, is_sentinel: bool = False) -> Line:
        async with asyncio.timeout(left()):
            return await self._lines.open(address, is_sentinel=is_sentinel)

    async def ask(self, line: Line, *words: str) -> Any:
        async with asyncio.timeout(left()):
            return await line.ask(*words)

    def close(self, line: Line) -> None:
        line.close()
