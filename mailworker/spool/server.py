"""The way to the Redis that holds the spool, for threads that may wait: connections to it, and calls over them.

Which server it is now, and what its failures mean, is `whereabouts`'s to say; `aio.server` is the same for event loops. Which
commands are said to it is for others. Nothing is done twice but what was certainly not done, and no wait outlasts the caller's deadline;
every failure is a `SpoolUnavailable` in our own words.

Known limit: while a cluster's slot moves, a command is sent on to where it moves (ASK) once, a pipeline is refused there; a script
that finds its keys on both sides is refused.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

import redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from mailworker.deadline import left, within
from mailworker.settings import SpoolServers, safe_url
from mailworker.spool.at_once import at_once
from mailworker.spool.base import SpoolUnavailable
from mailworker.spool.connecting import MAX_IDLE
from mailworker.spool.line import Line, close, is_quiet, open_line
from mailworker.spool.whereabouts import Address, Failure, Lost, Whereabouts, servers_of

T = TypeVar("T")

#: Seconds for which a connection is trusted without a look at it by whoever can say a thing twice: the look is a system call.
_TRUSTED = 1.0


class Server:
    """Leads calls to the Redis that holds a spool; safe to share between threads, and over a fork.

    Args:
        url: of the Redis; nothing is connected to yet.
        timeout: seconds that one `run` may take.
        slot_key: any of the spool's keys: in a cluster it tells which node holds them.
        keep: idle connections that are kept; more than so many threads at once open and close theirs.
        clock: monotonic seconds.

    Attributes:
        url_shown: the URL without its password.

    Raises:
        ConfigurationError: the URL cannot be read.
    """

    def __init__(
        self, url: str, timeout: float, *, slot_key: str, keep: int = 128, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.url_shown = safe_url(url)
        self._to = servers_of(url)
        self._timeout = timeout
        self._keep = keep
        self._clock = clock
        self._where = Whereabouts(self._to, slot_key, self._drop_idle)
        self._way = _InThread(self._to, timeout)
        self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._idle: list[Line] = []

    def run(self, call: Callable[[redis.Redis], T]) -> T:
        """Return what `call` returns for a client of the primary, all whose commands go over one connection.

        `call` is made a second time where the first one was certainly in vain: with replies only that refused. So it must be
        one that can be, and must not swallow errors that break the connection.

        Raises:
            SpoolUnavailable: the Redis is away or refuses; `maybe_done` unless it is certain that nothing was done. Of
                several commands in one call, some may be done where another was refused.
        """
        with within(self._timeout):
            answer = self._run(call)
            if isinstance(answer, Failure) and answer.again:
                answer = self._run(call, answer.ask)
        if isinstance(answer, Failure):
            # Outside of any `except`: the client's own errors repeat commands, and so pieces of mails.
            raise SpoolUnavailable(answer.text, maybe_done=answer.maybe_done)
        return answer

    def start(self, *words: Any) -> Sent:
        """Send one command, and do not wait for its answer; one that may be said twice.

        Raises:
            SpoolUnavailable: the Redis is away; `maybe_done` as in `run`.
        """
        with within(self._timeout):
            line = self._line(None, trusted=_TRUSTED)
            if isinstance(line, Failure):
                raise SpoolUnavailable(line.text, maybe_done=line.maybe_done)
            line.connection.begin()
            try:
                line.connection.write(*words)
            except (RedisError, OSError) as error:
                failure = self._failed(line, error)
                close(line)
            else:
                return Sent(self, line)
        raise SpoolUnavailable(failure.text, maybe_done=failure.maybe_done)

    def close(self) -> None:
        """Close the idle connections; those that are in use are closed by their threads only if more are kept than allowed."""
        if self._pid != os.getpid():
            self._forget()
        self._drop_idle()

    def _run(self, call: Callable[[redis.Redis], T], ask: Address | None = None) -> T | Failure:
        line = self._line(ask)
        if isinstance(line, Failure):
            return line
        line.connection.begin()
        try:
            answer = call(line.client)
        except (RedisError, OSError) as error:
            failure = self._failed(line, error)
            if isinstance(error, ResponseError):
                self._give_back(line)
            else:
                close(line)
            return failure
        except BaseException:
            close(line)
            raise
        self._give_back(line)
        return answer

    def _failed(self, line: Line, error: RedisError | OSError) -> Failure:
        connection = line.connection
        return self._where.failed(line.address, error, has_sent=connection.has_sent, answered=connection.answered)

    def _line(self, ask: Address | None, trusted: float = 0.0) -> Line | Failure:
        """Return a connection to the primary that works, or worked so many seconds ago; a new one to `ask` if that is given."""
        if left() <= 0:
            return Failure("it does not answer")
        if self._pid != os.getpid():
            # The sockets are the parent's: closing them here only closes our copies.
            self._forget()
        primary = self._where.primary
        try:
            if ask is not None:
                line = self._open(ask)
                line.connection.asking = True
                return line
            if primary is None:
                return at_once(self._where.find(self._way))
            return self._idle_line(primary, trusted) or self._open(primary)
        except (RedisError, OSError) as error:
            return self._where.unreached(error, primary if ask is None else None)
        except Lost as lost:
            return Failure(lost.text)

    def _idle_line(self, primary: Address, trusted: float) -> Line | None:
        while True:
            with self._lock:
                line = self._idle.pop() if self._idle else None
            if line is None:
                return None
            idle = self._clock() - line.used_at
            if line.address == primary and idle < MAX_IDLE and (idle < trusted or is_quiet(line)):
                return line
            close(line)

    def _open(self, address: Address) -> Line:
        return open_line(self._to, address, self._timeout)

    def _give_back(self, line: Line) -> None:
        line.used_at = self._clock()
        if line.pid == os.getpid() == self._pid and not line.connection.asking:
            with self._lock:
                if line.address == self._where.primary and len(self._idle) < self._keep:
                    self._idle.append(line)
                    return
        close(line)

    def _drop_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for line in idle:
            close(line)


class Sent:
    """A command whose answer is still to come, on a connection that is nobody else's until then.

    Args:
        server: where it was sent to.
        line: the connection.
    """

    __slots__ = ("_line", "_server")

    def __init__(self, server: Server, line: Line) -> None:
        self._server = server
        self._line = line

    def answer(self) -> Any:
        """Return the answer, once.

        Raises:
            NoScriptError: the server does not know the script: nothing was done.
            SpoolUnavailable: the Redis is away, or refuses; why, the same thing said by `Server.run` would tell.
        """
        line, server = self._line, self._server
        answer: Any = None
        failure = None
        try:
            answer = line.connection.read()
        except (RedisError, OSError) as error:
            failure = server._failed(line, error)  # noqa: SLF001 - the two are one
            close(line)
        except BaseException:
            close(line)
            raise
        if failure is not None:
            # Outside of any `except`: the client's own errors repeat commands, and so pieces of mails.
            raise SpoolUnavailable(failure.text, maybe_done=failure.maybe_done)
        server._give_back(line)  # noqa: SLF001 - see above
        if isinstance(answer, NoScriptError):
            # A new one: a frame that holds the error that it raises keeps itself, and all that its callers hold.
            raise NoScriptError
        if isinstance(answer, RedisError):
            raise SpoolUnavailable("it answers with an error", maybe_done=True)
        return answer


class _InThread:
    """`Way` in a thread that may wait."""

    def __init__(self, to: SpoolServers, timeout: float) -> None:
        self._to = to
        self._timeout = timeout

    async def open(self, address: Address, *, is_sentinel: bool = False) -> Line:
        return open_line(self._to, address, self._timeout, is_sentinel=is_sentinel)

    async def ask(self, line: Line, *words: str) -> Any:
        line.connection.send_command(*words)
        return line.connection.read_response()

    def close(self, line: Line) -> None:
        close(line)
