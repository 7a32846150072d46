"""What tests of code for event loops are made of: cancelling at any await, and a look-out for what blocks the loop."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import time
from collections.abc import Coroutine, Generator
from itertools import count
from typing import Any, Self

#: Methods of a socket that wait for the other side, unless it is set not to.
_WAITING = frozenset({"accept", "connect", "recv", "recv_into", "send", "sendall"})

#: Those of TLS, whose object is another one.
_WAITING_TLS = frozenset({"do_handshake", "read", "write"})


async def cancelled_at(place: int, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine as a task, and cancel the task when it gives way for the time of this number, counted from 0.

    What comes after that is as with any cancelled task. With fewer times, it runs to its end and returns what it does.
    """
    return await _Cancelled(place, coroutine)


class _Cancelled:
    def __init__(self, place: int, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._place = place
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        thrown: BaseException | None = None
        for number in count():
            try:
                future = self._coroutine.send(None) if thrown is None else self._coroutine.throw(thrown)
            except StopIteration as end:
                return end.value
            if number == self._place:
                task = asyncio.current_task()
                assert task is not None
                # It hears of it at this very await.
                task.cancel()
            thrown = None
            try:
                yield future
            except BaseException as error:  # noqa: BLE001 - it is the coroutine's to handle
                thrown = error
        raise AssertionError("a coroutine ends")


class Blocking:
    """Notes the calls by which the thread that enters it waits in the middle of a loop's round.

    Attributes:
        calls: what was called.
    """

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __enter__(self) -> Self:
        sys.setprofile(self._look)
        return self

    def __exit__(self, *error: object) -> None:
        sys.setprofile(None)

    def _look(self, frame: Any, event: str, called: Any) -> None:
        if event != "c_call":
            return
        name, owner = getattr(called, "__name__", ""), getattr(called, "__self__", None)
        if name == "sleep" and called is time.sleep:
            self.calls.append("time.sleep")
        elif name == "getaddrinfo" and owner is sys.modules["_socket"]:
            self.calls.append("getaddrinfo")
        elif name in _WAITING and isinstance(owner, socket.socket) and owner.gettimeout() != 0:
            self.calls.append(f"socket.{name}")
        elif name in _WAITING_TLS and type(owner).__name__ == "_SSLSocket":
            # One of a loop's transports belongs to an SSLObject, which has no socket.
            tls = getattr(owner, "owner", None)
            self.calls += [f"ssl.{name}"] * (isinstance(tls, ssl.SSLSocket) and tls.gettimeout() != 0)
