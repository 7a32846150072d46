"""One connection to a Redis on an event loop, that knows what was said on it: the twin of `spool.line`.

How a connection is made and read is `redis.asyncio`'s. No wait has a timeout of its own: who uses a line bounds it with
`asyncio.timeout`. A line whose use ends by an exception other than a reply (a cancellation, too) is closed by who uses it: an
answer may still come, and the next one would take it for its own.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Sequence
from typing import Any

from hiredis import pack_command
from redis.asyncio.connection import (
    Connection,
    RedisSSLContext,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from mailworker.settings import SpoolServers
from mailworker.spool.calls import Command
from mailworker.spool.connecting import GREETING, login, mode_of
from mailworker.spool.whereabouts import Address

#: Octets from which on commands are written piece by piece: a copy of a whole attachment would hold the loop up.
_PIECE = 65536

#: What a forked child has of its parent's connections. It must not even forget them: a writer that nobody has closes itself, and
#: takes its socket out of the selector, which is the parent's as well.
_parents: list[Any] = []


class Line:
    """A connection that is open, for one task at a time.

    Args:
        address: where it leads.
        connection: of `redis.asyncio`.

    Attributes:
        mode: what the server says it is, "standalone" or "cluster"; empty if it does not say.
        pid: the process that opened it.
        used_at: monotonic seconds when it was last given back.
        has_sent: something was written since `begin`.
        answered: replies since `begin` that were no errors, but for those to what changes no key.
        asking: each command is one for a slot that is on its way to this node (Redis Cluster's ASKING).
    """

    def __init__(self, address: Address, connection: Any) -> None:
        self.address = address
        self.mode = ""
        self.pid = os.getpid()
        self.used_at = 0.0
        self.asking = False
        self._connection = connection
        self.begin()

    def begin(self) -> None:
        """Note anew."""
        self.has_sent = False
        self.answered = 0

    async def say(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one go and return their answers; a refusal stands in its answer's place.

        Raises:
            RedisError: the connection was lost, or the server can do nothing now.
            OSError: the same.
        """
        self.has_sent = True
        if self.asking:
            commands = [said for command in commands for said in (("ASKING",), command)]
        await self._write(commands)
        answers = [await self._answer(changes_keys=words[0] not in ("SCRIPT", "ASKING")) for words in commands]
        return answers[1::2] if self.asking else answers

    async def ask(self, *words: Any) -> Any:
        """Send one command and return its answer.

        Raises:
            RedisError: the server refuses, or the connection was lost.
            OSError: the connection was lost.
        """
        [answer] = await self.say([words])
        if isinstance(answer, RedisError):
            raise answer
        return answer

    def is_quiet(self) -> bool:
        """Tell whether the other side of an idle connection has said nothing: it would be that it is closed, or will be."""
        try:
            return not self._has_heard() and not self._has_news()
        except (OSError, ValueError):
            return False

    def _has_heard(self) -> bool:
        """Look for what the loop has read, and nobody has asked for."""
        # redis-py's own way to ask has another name in each of its versions, and in some it gives way.
        stream, parser = self._connection._reader, self._connection._parser  # noqa: SLF001 - nothing public tells
        return bool(stream is None or stream.at_eof() or stream._buffer or parser._reader.has_data())  # noqa: SLF001

    def _has_news(self) -> bool:
        """Look for what has come since the loop last looked."""
        looked = select.poll()
        looked.register(self._connection._writer.get_extra_info("socket").fileno(), select.POLLIN)  # noqa: SLF001 - redis-py has nothing public for it
        return bool(looked.poll(0))

    def close(self) -> None:
        """Close the connection at once: without a word to the other side, and without giving way."""
        connection = self._connection
        writer, connection._writer, connection._reader = connection._writer, None, None  # noqa: SLF001 - its disconnect() gives way
        if writer is None:
            return
        if self.pid != os.getpid():
            _parents.append(writer)
            return
        transport = writer.transport
        try:
            transport.abort()
        except RuntimeError:
            # Its loop is closed. A plain transport would keep its socket open until it is collected, and warn of it then.
            sock = getattr(transport, "_sock", None)
            if sock is not None:
                transport._sock = None  # noqa: SLF001 - asyncio has no way to close what a closed loop has left
                sock.close()

    async def _write(self, commands: Sequence[Command]) -> None:
        packed = [_packed(self._connection, words) for words in commands]
        size = sum(len(piece) for pieces in packed for piece in pieces)
        if size <= _PIECE:
            await self._connection.send_packed_command([b"".join(p) for p in packed], check_health=False)
            return
        writer = self._connection._writer  # noqa: SLF001 - redis-py would join all of it first
        for piece in (piece for pieces in packed for piece in pieces):
            view = memoryview(piece)
            for start in range(0, len(view), _PIECE):
                writer.write(view[start : start + _PIECE])
                await writer.drain()

    async def _answer(self, *, changes_keys: bool) -> Any:
        try:
            # Its own way to end a connection gives way meanwhile; who uses the line ends it (see above).
            answer = await self._connection.read_response(disconnect_on_error=False)
        except ResponseError as error:
            return error
        self.answered += changes_keys
        return answer


class Lines:
    """Opens connections to the servers of a spool.

    Args:
        to: what the URL says of login, database and TLS.
    """

    def __init__(self, to: SpoolServers) -> None:
        self._to = to
        self._tls: RedisSSLContext | None = None

    async def open(self, address: Address, *, is_sentinel: bool = False) -> Line:
        """Connect and log in.

        Args:
            address: where to.
            is_sentinel: log in as at a Sentinel.

        Raises:
            RedisError: it cannot be reached, or refuses the login or the database.
            OSError: the same.
        """
        line = Line(address, await self._connection(address, is_sentinel=is_sentinel))
        try:
            await line._connection.connect()  # noqa: SLF001 - of the same module
            line.mode = await _greet(line)
        except BaseException:
            line.close()
            raise
        return line

    async def _connection(self, address: Address, *, is_sentinel: bool) -> Any:
        to = self._to
        options: dict[str, Any] = {
            **login(to, is_sentinel=is_sentinel),
            # What bounds a wait is the deadline of the whole call.
            "socket_timeout": None,
            "socket_connect_timeout": None,
            # Its own retries wait longer than anybody would.
            "retry": Retry(NoBackoff(), 0),
        }
        if to.path:
            return _quiet(UnixDomainSocketConnection(path=to.path, **options))
        if to.tls is None:
            return _quiet(Connection(host=address[0], port=address[1], **options))
        connection = SSLConnection(host=address[0], port=address[1], **options, **to.tls)
        if self._tls is None:
            self._tls = connection.ssl_context
            # Reading the system's certificates takes as long as a hundred mails.
            await asyncio.to_thread(self._tls.get)
        connection.ssl_context = self._tls
        return _quiet(connection)


def _quiet(connection: Any) -> Any:
    # CLIENT SETINFO would cost two round trips; what it is called differs between versions of redis-py.
    connection.driver_info = connection.lib_name = connection.lib_version = None
    return connection


async def _greet(line: Line) -> str:
    """Greet the server, and return its mode."""
    try:
        return mode_of(await line.ask(*GREETING))
    except ResponseError:
        # It may be forbidden.
        return ""


def _packed(connection: Any, words: Command) -> list[bytes]:
    """Return a command as it is written; large words are not copied."""
    if all(len(word) < _PIECE for word in words if isinstance(word, bytes | str)):
        return [pack_command(words)]
    pieces: list[bytes] = connection.pack_command(*words)
    return pieces
