"""How scripts are run in the spool's Redis: by their SHA-1, one by one or many in one round trip.

A server that does not know a script (flushed, restarted, failed over) is given its text. What the server answers with an
error is raised as it is; `Server` says what it means. No call is repeated after an answer that was lost. What is said for many
calls is `run_each`'s, for clients of both kinds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from redis import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from mailworker.deadline import left
from mailworker.spool.at_once import at_once
from mailworker.spool.base import SpoolUnavailable
from mailworker.spool.script import Script, scripts

T = TypeVar("T")

#: How often a pipeline that met a server without the script gives it the text before it gives up.
_LOADS = 5

#: Arguments of the script `ready` that ask for nothing but the server's time.
ASK_TIME = (0, "", 0, "", "")

#: The words of one command.
Command = tuple[Any, ...]


#: Says commands in one round trip, and returns their answers; a refusal stands in its answer's place.
Say = Callable[[Sequence[Command]], Awaitable[list[Any]]]


class Runs(Protocol):
    """Runs the spool's scripts, for a client of either kind; what is raised is as for `Calls`."""

    async def run(self, name: str, *arguments: Any) -> Any:
        """Run one script and return its answer."""
        ...

    async def run_many(
        self, name: str, calls: Sequence[Command], replicas: int = 0, replica_timeout: float = 1.0
    ) -> list[Any]:
        """Run one script for each of several lists of arguments, in one round trip, and return the answers."""
        ...


class Primary(Protocol):
    """Leads to the Redis that holds the spool: `mailworker.spool.server.Server`."""

    def run(self, call: Callable[[Redis], T]) -> T:
        """Return what the call returns for a client; SpoolUnavailable if it cannot be made."""
        ...

    def start(self, *words: Any) -> Pending:
        """Send one command, and do not wait for its answer; SpoolUnavailable if it cannot be sent."""
        ...

    def close(self) -> None:
        """Close what is open."""


class Pending(Protocol):
    """A command that was sent: `mailworker.spool.server.Sent`."""

    def answer(self) -> Any:
        """Return the answer; NoScriptError if the server does not know the script, SpoolUnavailable for all else."""


class Started:
    """A script on its way.

    Args:
        sent: the command that runs it.
        again: runs it once more, for a server that did not know it.
    """

    def __init__(self, sent: Pending, again: Callable[[], Any]) -> None:
        self._sent = sent
        self._again = again

    def answer(self) -> Any:
        """Return its answer.

        Raises:
            SpoolUnavailable: the server is away, or refuses.
        """
        try:
            return self._sent.answer()
        except NoScriptError:
            return self._again()


class Calls:
    """Runs the spool's scripts.

    Args:
        server: leads to the Redis.
        prefix: what all keys begin with.
        retention: seconds, the first argument of every script.
        parts: the scripts, None = those of this package.
    """

    def __init__(
        self, server: Primary, prefix: str, retention: float, parts: Mapping[str, Script] | None = None
    ) -> None:
        self._server = server
        self._prefix = prefix
        self._retention = retention
        self._scripts = scripts() if parts is None else parts

    def run(self, name: str, *arguments: Any) -> Any:
        """Run one script and return its answer.

        Raises:
            SpoolUnavailable: the server is away, or refuses.
        """
        script = self._scripts[name]
        values = (self._retention, *arguments)

        def call(client: Redis) -> Any:
            try:
                return client.evalsha(script.sha, 1, self._prefix, *values)
            except NoScriptError:
                return client.eval(script.text, 1, self._prefix, *values)

        return self._server.run(call)

    def start(self, name: str, *arguments: Any) -> Started:
        """Send one script on its way, and do not wait for its answer.

        Raises:
            SpoolUnavailable: the server is away.
        """
        script = self._scripts[name]
        sent = self._server.start("EVALSHA", script.sha, 1, self._prefix, self._retention, *arguments)
        return Started(sent, lambda: self.run(name, *arguments))

    def run_many(
        self, name: str, calls: Sequence[tuple[Any, ...]], replicas: int = 0, replica_timeout: float = 1.0
    ) -> list[Any]:
        """Run one script for each of several lists of arguments, in one round trip, and return the answers.

        Args:
            name: of the script.
            calls: the arguments of each call.
            replicas: how many replicas must have heard of them before this returns.
            replica_timeout: seconds to wait for them.

        Raises:
            SpoolUnavailable: the server is away, refuses one of them, or has not so many replicas.
        """
        script = self._scripts[name]
        commands = [(self._prefix, self._retention, *arguments) for arguments in calls]

        def call(client: Redis) -> list[Any]:
            async def say(some: Sequence[Command]) -> list[Any]:
                if len(some) == 1:
                    try:
                        return [client.execute_command(*some[0])]  # type: ignore[no-untyped-call]  # redis-py's own
                    except ResponseError as error:
                        return [error]
                pipeline = client.pipeline(transaction=False)
                for words in some:
                    pipeline.execute_command(*words)  # type: ignore[no-untyped-call]  # redis-py's own
                return list(pipeline.execute(raise_on_error=False))

            return at_once(run_each(say, script, commands, replicas, replica_timeout))

        return enough_replicas(self._server.run(call), replicas)


class InThread:
    """`Runs` in a thread that may wait.

    Args:
        calls: runs the scripts.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def run(self, name: str, *arguments: Any) -> Any:
        return self._calls.run(name, *arguments)

    async def run_many(
        self, name: str, calls: Sequence[Command], replicas: int = 0, replica_timeout: float = 1.0
    ) -> list[Any]:
        return self._calls.run_many(name, calls, replicas, replica_timeout)


async def run_each(
    say: Say, script: Script, calls: Sequence[Command], replicas: int = 0, replica_timeout: float = 1.0
) -> list[Any]:
    """Run one script for each of several lists of arguments; return the answers, the number of replicas last if it is asked for.

    Args:
        say: over one connection.
        script: which.
        calls: prefix, retention and arguments of each call.
        replicas: how many replicas must have heard of them.
        replica_timeout: seconds to wait for them.

    Raises:
        RedisError: one of them is refused.
    """

    async def send(some: Sequence[Command]) -> list[Any]:
        commands: list[Command] = [("EVALSHA", script.sha, 1, *arguments) for arguments in some]
        if replicas:
            # On the same connection, so that it waits for what was sent before it.
            # Half of what is left, since a server that does not know the script is asked twice. 0 would be for ever.
            patience = min(replica_timeout, left() / 2)
            commands.append(("WAIT", replicas, max(int(patience * 1000), 1)))
        return await say(commands)

    answers = await send(calls)
    # More than once: it may be flushed again, and between two commands of a pipeline too.
    for _ in range(_LOADS):
        missed = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if not missed:
            break
        _unless_refused(await say([("SCRIPT", "LOAD", script.text)]))
        again = await send([calls[place] for place in missed])
        for place, answer in zip(missed, again, strict=False):
            answers[place] = answer
        answers[len(calls) :] = again[len(missed) :]
    return _unless_refused(answers)


def enough_replicas(answers: list[Any], replicas: int) -> list[Any]:
    """Return the answers of `run_each` without the number of replicas behind them.

    Raises:
        SpoolUnavailable: that is too small.
    """
    if replicas:
        have = answers.pop()
        if have < replicas:
            raise SpoolUnavailable(
                f"{have} replicas have the mail in time, MAILWORKER_WAIT_REPLICAS asks for {replicas}",
                maybe_done=True,
            )
    return answers


def _unless_refused(answers: list[Any]) -> list[Any]:
    """Return answers; raise the first one that is an error."""
    for answer in answers:
        if isinstance(answer, RedisError):
            raise answer
    return answers
