"""kombu's transports, with sockets that keep to the caller's deadline.

Redis (Sentinel included) and AMQP are bounded so; kombu's other transports have their own timeouts only. What the deadline is,
and how a socket keeps to it, is `mailworker.deadline`'s.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from mailworker.deadline import BoundedSocket, for_each_address
from mailworker.spool.connection import Bounded


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


def _redis(transport: type[Any]) -> type[Any]:
    def over(connection: type[Any]) -> type[Any]:
        return type(connection.__name__, (Bounded, connection), {})

    plain, tls = transport.Channel.connection_class, transport.Channel.connection_class_ssl
    classes = {"connection_class": over(plain), "connection_class_ssl": over(tls)}
    return type(transport.__name__, (transport,), {"Channel": type("Channel", (transport.Channel,), classes)})


def _amqp(transport: type[Any]) -> type[Any]:
    from amqp.transport import SSLTransport, TCPTransport

    class Connecting:
        sock: Any

        def _connect(self, host: str, port: int, timeout: float | None) -> None:
            super()._connect(host, port, for_each_address(host, port, timeout))  # type: ignore[misc]  # amqp's own

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
