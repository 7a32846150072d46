"""One connection to a Redis, made with as few words as can be, and a client that has no other.

So commands that belong together (a write, and WAIT for its replicas) go over one connection, and whoever has the line knows what
was said on it. Errors are redis-py's own, and those of the system.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from mailworker.settings import SpoolServers
from mailworker.spool.connecting import GREETING, login, mode_of
from mailworker.spool.connection import NoString, Watched
from mailworker.spool.whereabouts import Address


@dataclass(slots=True)
class Line:
    """A connection that is open.

    Attributes:
        address: where it leads.
        connection: redis-py's, with what `Watched` mixes in.
        client: speaks over it alone; for one thread at a time.
        mode: what the server says it is, "standalone" or "cluster"; empty if it does not say.
        pid: the process that opened it.
        used_at: monotonic seconds when it was last given back.
    """

    address: Address
    connection: Any
    client: redis.Redis
    mode: str
    pid: int
    used_at: float = 0.0


def open_line(to: SpoolServers, address: Address, timeout: float, *, is_sentinel: bool = False) -> Line:
    """Connect and log in.

    Args:
        to: what the URL says of login, database and TLS.
        address: where to.
        timeout: seconds that one wait may take, now and later.
        is_sentinel: log in as at a Sentinel.

    Raises:
        RedisError: it cannot be reached, or refuses the login or the database.
        OSError: the same.
    """
    options: dict[str, Any] = {
        **login(to, is_sentinel=is_sentinel),
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        # Its own retries wait longer than anybody would.
        "retry": Retry(NoBackoff(), 0),
        **(to.tls or {}),
    }
    if to.path:
        pool = _OneConnection(_watched(UnixDomainSocketConnection), path=to.path, **options)
    else:
        kind = _watched(Connection if to.tls is None else SSLConnection)
        pool = _OneConnection(kind, host=address[0], port=address[1], **options)
    connection = pool.connection
    try:
        connection.connect()
        mode = _greet(connection)
    except BaseException:
        connection.disconnect()
        raise
    return Line(address, connection, _Client(connection_pool=pool), mode, os.getpid())


def _greet(connection: Any) -> str:
    """Greet the server, and return its mode."""
    try:
        connection.send_command(*GREETING)
        return mode_of(connection.read_response())
    except ResponseError:
        # It may be forbidden.
        return ""


def is_quiet(line: Line) -> bool:
    """Tell whether the other side of an idle connection has said nothing: it would be that it is closed, or will be."""
    try:
        return not line.connection.can_read()
    except (RedisError, OSError):
        return False


def close(line: Line) -> None:
    """Close the connection without a word to the other side."""
    line.connection.disconnect()


class _Client(redis.Redis):
    """A client of redis-py's that speaks over its one connection at once.

    Its own way there (a pool, retries, metrics, none of which is wanted here) takes as long as the rest of a call.
    """

    def execute_command(self, *words: Any, **options: Any) -> Any:
        connection: Any = self.connection_pool.get_connection()
        connection.send_command(*words, check_health=False)
        return self.parse_response(connection, words[0], **options)  # type: ignore[no-untyped-call]  # redis-py's own

    def evalsha(self, sha: str, numkeys: int, *words: Any) -> Any:
        """Run a script: what is said once for each mail that is handed over, while a caller waits."""
        connection: Any = self.connection_pool.get_connection()
        if connection.asking:
            return super().evalsha(sha, numkeys, *words)
        return connection.ask("EVALSHA", sha, numkeys, *words)

    def hget(self, name: Any, key: Any) -> Any:
        """Return a field of a hash: a piece of a mail's content, of up to many megabytes, with no second copy of it."""
        connection: Any = self.connection_pool.get_connection()
        if not connection.asking:
            try:
                return connection.string("HGET", name, key)
            except NoString:
                # Asked once more: which error it is, redis-py knows.
                pass
        return super().hget(name, key)


class _OneConnection(ConnectionPool):
    """A pool of redis-py's with one connection, lent to everybody who asks."""

    def __init__(self, kind: type[Any], **options: Any) -> None:
        super().__init__(connection_class=kind, **options)
        self.connection = kind(**self.connection_kwargs)

    def get_connection(self, *words: Any, **options: Any) -> Any:
        return self.connection

    def release(self, connection: Any) -> None:
        """Keep it open."""


@cache
def _watched(kind: type[Any]) -> type[Any]:
    return type(kind.__name__, (Watched, kind), {})
