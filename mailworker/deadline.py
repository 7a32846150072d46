"""One deadline for all that a call says to a broker or to the spool's Redis, however slowly they answer.

A socket's timeout bounds one read. A server that answers each time at the last moment, or drips a byte now and then, keeps
every one of them and still holds its caller for as long as it likes. So a `BoundedSocket` asks before each wait what is left
of the caller's time as well, and fails with `TimeoutError` when that is nothing.

Which client's sockets are bounded is for `spool.connection` and `queue.bounded` to say. Looking a name up is the system's
matter, and as slow as its resolver.
"""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

#: A socket's methods that wait for the other side.
_WAITING = frozenset({"read", "recv", "recv_into", "send", "sendall", "write"})


#: Monotonic seconds. Each thread has its own, and each task of an event loop.
_ends_at: ContextVar[float] = ContextVar("mailworker_deadline", default=math.inf)


class within:  # noqa: N801 - used as a function
    """Let this thread, or task, wait for servers no longer than that in all; an outer deadline that ends sooner stays.

    A class, since it stands around each call to the spool: a generator takes three times as long.

    Args:
        seconds: from now.
    """

    __slots__ = ("_seconds", "_was")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._was = _ends_at.get()
        _ends_at.set(min(self._was, time.monotonic() + self._seconds))

    def __exit__(self, *error: object) -> None:
        _ends_at.set(self._was)


def left() -> float:
    """Return the seconds that are left to this thread or task; infinity where no deadline is set."""
    return _ends_at.get() - time.monotonic()


#: Seconds by which one wait may end too late.
_SLACK = 0.02


class BoundedSocket:
    """A socket that waits no longer than its own timeout, nor than the thread that uses it may.

    Args:
        sock: a connected socket, plain or TLS.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    @property
    def bare(self) -> socket.socket:
        """The socket itself, whose own timeout bounds each wait."""
        return self._sock

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._sock, name)
        return partial(self._wait, found) if name in _WAITING else found

    def _wait(self, call: Callable[..., Any], *args: Any) -> Any:
        remaining = left()
        own = self._sock.gettimeout()
        # Setting it costs two system calls each way: not for a difference that nobody can tell.
        if remaining == math.inf or (own is not None and own <= remaining + _SLACK):
            return call(*args)
        if remaining <= 0:
            raise TimeoutError("the deadline of the call is over")
        self._sock.settimeout(remaining)
        try:
            return call(*args)
        finally:
            self._sock.settimeout(own)


def for_each_address(host: str, port: int, timeout: float | None) -> float | None:
    """Return the seconds that connecting to each of a name's addresses may take: clients try one after another.

    Args:
        host: a name, or an address.
        port: where to.
        timeout: seconds that connecting to one address may take in any case; None = no bound.

    Raises:
        TimeoutError: nothing is left of the caller's time.
        OSError: the name is not known.
    """
    remaining = left()
    if remaining == math.inf:
        return timeout
    if remaining <= 0:
        raise TimeoutError("the deadline of the call is over")
    share = remaining / max(1, len(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
    return share if timeout is None else min(timeout, share)
