"""One deadline for all that is said to a broker in a call, however slowly it answers.

A socket's timeout bounds one read. A broker that answers each time at the last moment, or drips a byte now and then, keeps
every one of them and still holds its caller for as long as it likes. So the sockets of a bounded connection ask before each
wait what is left of the caller's time as well, and fail with `TimeoutError` when that is nothing.

Redis (Sentinel included) and AMQP are bounded so; kombu's other transports have their own timeouts only. Looking a name up is
the system's matter, and as slow as its resolver.
"""

from __future__ import annotations

import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

#: A socket's methods that wait for the other side.
_WAITING = frozenset({"read", "recv", "recv_into", "send", "sendall", "write"})


class _Caller(threading.local):
    ends_at = math.inf


_caller = _Caller()


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let this thread wait for brokers no longer than that in all; an outer deadline that ends sooner stays.

    Args:
        seconds: from now.
    """
    was = _caller.ends_at
    _caller.ends_at = min(was, time.monotonic() + seconds)
    try:
        yield
    finally:
        _caller.ends_at = was


def left() -> float:
    """Return the seconds that are left to this thread; infinity where no deadline is set."""
    return _caller.ends_at - time.monotonic()


class BoundedSocket:
    """A socket that waits no longer than its own timeout, nor than the thread that uses it may.

    Args:
        sock: a connected socket, plain or TLS.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._sock, name)
        return partial(self._wait, found) if name in _WAITING else found

    def _wait(self, call: Callable[..., Any], *args: Any) -> Any:
        remaining = left()
        own = self._sock.gettimeout()
        if remaining == math.inf or (own is not None and own <= remaining):
            return call(*args)
        if remaining <= 0:
            raise TimeoutError("the deadline of the call is over")
        self._sock.settimeout(remaining)
        try:
            return call(*args)
        finally:
            self._sock.settimeout(own)


@cache
def bounded(transport: type[Any]) -> type[Any]:
    """Return a class like one of kombu's transports, whose sockets keep to the deadline; itself if it is another one.

    Args:
        transport: a transport's class.
    """
    names = {f"{kind.__module__}.{kind.__qualname__}" for kind in transport.__mro__}
    if "kombu.transport.redis.Transport" in names:
        return _redis(transport)
    if "kombu.transport.pyamqp.Transport" in names:
        return _amqp(transport)
    return transport


def _for_each_address(host: str, port: int, timeout: float | None) -> float | None:
    """Return the seconds that connecting to each of a name's addresses may take: both clients try one after another.

    Raises:
        TimeoutError: nothing is left of the caller's time.
    """
    remaining = left()
    if remaining == math.inf:
        return timeout
    if remaining <= 0:
        raise TimeoutError("the deadline of the call is over")
    share = remaining / max(1, len(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    return share if timeout is None else min(timeout, share)


def _redis(transport: type[Any]) -> type[Any]:
    def over(connection: type[Any]) -> type[Any]:
        def connect(self: Any) -> Any:
            own = self.socket_connect_timeout
            self.socket_connect_timeout = _for_each_address(self.host, self.port, own)
            try:
                return BoundedSocket(connection._connect(self))  # noqa: SLF001 - where redis-py makes its socket
            finally:
                # What was left of this call is nothing to the next one on the same connection.
                self.socket_connect_timeout = own

        return type(connection.__name__, (connection,), {"_connect": connect})

    plain, tls = transport.Channel.connection_class, transport.Channel.connection_class_ssl
    classes = {"connection_class": over(plain), "connection_class_ssl": over(tls)}
    return type(transport.__name__, (transport,), {"Channel": type("Channel", (transport.Channel,), classes)})


def _amqp(transport: type[Any]) -> type[Any]:
    from amqp.transport import SSLTransport, TCPTransport

    class Connecting:
        sock: Any

        def _connect(self, host: str, port: int, timeout: float | None) -> None:
            super()._connect(host, port, _for_each_address(host, port, timeout))  # type: ignore[misc]  # amqp's own

    class Plain(Connecting, TCPTransport):  # type: ignore[misc]  # amqp has no types
        def _setup_transport(self) -> None:
            self.sock = BoundedSocket(self.sock)
            super()._setup_transport()

    class TLS(Connecting, SSLTransport):  # type: ignore[misc]  # amqp has no types
        def _setup_transport(self) -> None:
            super()._setup_transport()
            self.sock = BoundedSocket(self.sock)
            self._quick_recv = self.sock.read

    def made(
        self: Any,
        host: str,
        connect_timeout: float,
        ssl: Any = False,
        read_timeout: float | None = None,
        write_timeout: float | None = None,
        **more: Any,
    ) -> Any:
        options = {"read_timeout": read_timeout, "write_timeout": write_timeout, **more}
        if ssl:
            return TLS(host, connect_timeout=connect_timeout, ssl=ssl, **options)
        return Plain(host, connect_timeout=connect_timeout, **options)

    connection = type("Connection", (transport.Connection,), {"Transport": made})
    return type(transport.__name__, (transport,), {"Connection": connection})
