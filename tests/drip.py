"""A server that never stops answering, and never has answered."""

from __future__ import annotations

import socket
import ssl
import threading


class Drip:
    """A server on 127.0.0.1 that answers everybody with one byte now and then, for ever.

    Args:
        context: of its TLS; None = plain.
        first: what it says before.
    """

    def __init__(self, context: ssl.SSLContext | None, first: bytes) -> None:
        self._context = context
        self._first = first
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.sent = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._drip, args=(client,), daemon=True).start()

    def _drip(self, client: socket.socket) -> None:
        try:
            with client if self._context is None else self._context.wrap_socket(client, server_side=True) as talk:
                # A broker speaks when it is spoken to; what comes earlier upsets the options that py-amqp sets on its socket.
                talk.recv(1)
                talk.sendall(self._first)
                while not self._ended.wait(0.02):
                    talk.sendall(b"a")
                    self.sent += 1
        except OSError:
            return

    def close(self) -> None:
        self._ended.set()
        self._listener.close()
