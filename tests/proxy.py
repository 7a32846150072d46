"""A TCP proxy that can freeze, lag, cut and refuse: a broken network in front of a server that is fine."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self


class Proxy:
    """Passes bytes to a server on 127.0.0.1, for as long as it is not told otherwise.

    Args:
        target: the server's port.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self._flowing = threading.Event()
        self._ended = threading.Event()
        self._flowing.set()
        self._lag = 0.0
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        """Accept connections and bytes, and pass nothing on."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Pass on again, what was held back first."""
        self._flowing.set()

    def lag(self, seconds: float) -> None:
        """Hold back each piece of an answer for that long."""
        self._lag = seconds

    def cut(self) -> None:
        """Close every connection that is open now."""
        with self._lock:
            sockets, self._sockets = self._sockets, []
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def close(self) -> None:
        """End: refuse new connections, close those that are open."""
        with contextlib.suppress(OSError):
            # A thread that waits in accept() is not woken by close() alone, and would take one more.
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._flowing.set()
        self._ended.set()
        self.cut()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            with self._lock:
                self._sockets += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink, source is server), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flowing.wait()
                if answers:
                    # The fault itself: an answer that is late.
                    self._ended.wait(self._lag)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
