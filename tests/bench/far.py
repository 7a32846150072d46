"""A proxy that makes a server of this machine 20 ms away, and takes no throughput away.

    python -m tests.bench.far TARGET_PORT [--seconds 0.02]

Each piece of bytes gets the time at which it is due when it comes, half the round trip later, and is passed on then; reading never
waits for writing, so that any number of bytes may be on their way, as on a long wire. A process of its own, so that its work is
nobody's GIL; it prints the port that it listens on. One end that closes closes the other, as late as its last bytes. Connecting
itself takes no time here, while on a real wire it would take another round trip: in favour of those who connect for each mail.
"""

from __future__ import annotations

import argparse
import asyncio
import selectors
import socket
import sys
from collections import deque


class _Half(asyncio.Protocol):
    """One direction: what is read here is written to `peer`, later."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._loop = asyncio.get_running_loop()
        #: (when it is due, the bytes; None for the end).
        self._waiting: deque[tuple[float, bytes | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self.peer: _Half | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        sock: socket.socket = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._pass_on()

    def data_received(self, data: bytes) -> None:
        self._take(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._take(None)

    def write(self, data: bytes | None) -> None:
        """Send what is due, or close."""
        if self._transport is None or self._transport.is_closing():
            return
        if data is None:
            self._transport.close()
        else:
            self._transport.write(data)

    def _take(self, data: bytes | None) -> None:
        self._waiting.append((self._loop.time() + self._delay, data))
        if self._timer is None:
            self._timer = self._loop.call_at(self._waiting[0][0], self._pass_on)

    def _pass_on(self) -> None:
        self._timer = None
        if self.peer is None or self.peer._transport is None:
            # The other side is still being connected, and will call.
            return
        now = self._loop.time()
        while self._waiting and self._waiting[0][0] <= now:
            self.peer.write(self._waiting.popleft()[1])
        if self._waiting:
            self._timer = self._loop.call_at(self._waiting[0][0], self._pass_on)


async def _serve(target: int, delay: float) -> None:
    loop = asyncio.get_running_loop()
    connecting: set[asyncio.Task[None]] = set()

    async def connect(near: _Half) -> None:
        far = _Half(delay)
        near.peer, far.peer = far, near
        try:
            await loop.create_connection(lambda: far, "127.0.0.1", target)
        except OSError:
            near.write(None)
            return
        near._pass_on()

    def accepted() -> _Half:
        near = _Half(delay)
        task = loop.create_task(connect(near))
        connecting.add(task)
        task.add_done_callback(connecting.discard)
        return near

    server = await loop.create_server(accepted, "127.0.0.1", 0, backlog=256)
    print(f"listening on {server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("target", type=int)
    parser.add_argument("--seconds", type=float, default=0.02, help="of a round trip")
    asked = parser.parse_args()
    # Waits to the microsecond; epoll rounds up to the next millisecond, twice for each round trip.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    try:
        loop.run_until_complete(_serve(asked.target, asked.seconds / 2))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
