"""What a web process on an event loop asks of the spool: take these mails, what became of that one, take it back.

The scripts, what they are given and what their answers mean are those of `RedisSpool`; here they are awaited. What happens once
in a blue moon, as to find out where a mail stands whose record was damaged, is done by a `RedisSpool` in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from mailworker.lane import Lane
from mailworker.spool.aio.server import AsyncServer
from mailworker.spool.base import Limits
from mailworker.spool.calls import ASK_TIME, Command, Say, enough_replicas, run_each
from mailworker.spool.clock import ServerClock
from mailworker.spool.intake import Intake
from mailworker.spool.packed import Packer, Sealing
from mailworker.spool.reader import opened
from mailworker.spool.record import Mail, MailStatus
from mailworker.spool.redis import RedisSpool
from mailworker.spool.script import scripts


class AsyncSpool:
    """The spool in Redis, for the tasks of one event loop.

    Args:
        server: leads to the Redis.
        namespace: first part of all keys.
        in_thread: returns the same spool for threads.
        limits: as for `RedisSpool`, as all that follow.
        retention: the same.
        sealing: the same.
        replicas: the same.
        replica_timeout: the same.
    """

    def __init__(
        self,
        server: AsyncServer,
        namespace: str,
        *,
        in_thread: Callable[[], RedisSpool],
        limits: Mapping[str, Limits] = MappingProxyType({}),
        retention: float = 7 * 86_400,
        sealing: Sealing | None = None,
        replicas: int = 0,
        replica_timeout: float = 1.0,
    ) -> None:
        self._server = server
        self._in_thread = in_thread
        self._runs = _OnLoop(server, f"{{{namespace}}}:", retention)
        self._packer = Packer(sealing)
        self._intake = Intake(self._runs, self._packer, dict(limits), replicas, replica_timeout)
        self._clock = ServerClock()
        self._setting = asyncio.Lock()

    def now(self) -> float:
        """Return the spool's time, seconds since the epoch, as far as `set_clock` has asked for it."""
        return self._clock.now()

    async def set_clock(self) -> None:
        """Make sure that `now` knows the server's time.

        Raises:
            SpoolUnavailable: the server is away.
        """
        if self._clock.is_set:
            return
        # One asks for all: the others would only find themselves in each other's way.
        async with self._setting:
            if not self._clock.is_set:
                self._clock.set((await self._runs.run("ready", *ASK_TIME))[0])

    async def put_and_wake(self, mails: Sequence[Mail]) -> set[Lane]:
        """Take mails in, and return the lanes in which a worker has to be woken for them.

        Raises:
            SpoolUnavailable: the server is away, or refuses.
        """
        taken = await self._intake.put(mails, wake=True)
        if taken.now is not None:
            self._clock.set(taken.now)
        return taken.lanes

    async def status(self, mail_id: str) -> MailStatus | None:
        """Return what became of a mail, None if it is not known.

        Raises:
            SpoolUnavailable: the server is away, or refuses.
        """
        answer = await self._runs.run("get", mail_id, 0)
        try:
            return opened(answer, lambda record, ready_at: self._packer.status(mail_id, record, ready_at))
        except ValueError:
            return await asyncio.to_thread(lambda: self._in_thread().status(mail_id))

    async def cancel(self, mail_id: str) -> bool:
        """Take back a mail that has not gone yet.

        Raises:
            SpoolUnavailable: the server is away, or refuses.
        """
        answer = int(await self._runs.run("cancel", mail_id))
        if answer < 0:
            return await asyncio.to_thread(lambda: self._in_thread().cancel(mail_id))
        return answer > 0

    def close(self) -> None:
        """Close the connections to the server."""
        self._server.close()


class _OnLoop:
    """`Runs` on an event loop."""

    def __init__(self, server: AsyncServer, prefix: str, retention: float) -> None:
        self._server = server
        self._first = (prefix, retention)
        self._scripts = scripts()

    async def run(self, name: str, *arguments: Any) -> Any:
        [answer] = await self.run_many(name, [arguments])
        return answer

    async def run_many(
        self, name: str, calls: Sequence[Command], replicas: int = 0, replica_timeout: float = 1.0
    ) -> list[Any]:
        script = self._scripts[name]
        commands = [(*self._first, *arguments) for arguments in calls]

        async def call(say: Say) -> list[Any]:
            return await run_each(say, script, commands, replicas, replica_timeout)

        return enough_replicas(await self._server.run(call), replicas)
