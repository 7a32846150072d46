"""An SMTP server that only counts, quickly: which recipient got which message how often.

A copy counts when its final dot has come, whether or not anybody hears the answer. An address that begins with "busy" is
told 450 the first time. It runs in a thread of this process and lives through whatever happens to its clients.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import defaultdict
from types import TracebackType
from typing import Self

_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_ADDRESS = re.compile(rb"<([^>]*)>")


class Sink:
    """The server; a context manager that listens inside.

    Args:
        delay: seconds between the final dot and the answer to it: the time in which a death leaves a mail in doubt.

    Attributes:
        copies: recipient -> Message-ID of each copy.
        port: where it listens, on 127.0.0.1.
    """

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.copies: defaultdict[str, list[str]] = defaultdict(list)
        self.deferred: set[bytes] = set()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="sink", daemon=True)
        self._listening = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._listening.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        loop = self._loop
        server = loop.run_until_complete(loop.create_server(lambda: _Session(self, loop), "127.0.0.1", 0, backlog=256))
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        loop.run_forever()
        server.close()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class _Session(asyncio.Protocol):
    """One connection."""

    def __init__(self, sink: Sink, loop: asyncio.AbstractEventLoop) -> None:
        self._sink = sink
        self._loop = loop
        self._buffer = bytearray()
        self._recipients: list[str] = []
        self._is_content = False
        self._owes_answer = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._go_on()

    def _go_on(self) -> None:
        while not self._owes_answer:
            end = b"\r\n.\r\n" if self._is_content else b"\r\n"
            whole, found, rest = self._buffer.partition(end)
            if not found:
                return
            self._buffer = bytearray(rest)
            if self._is_content:
                self._taken(bytes(whole))
            else:
                self._command(bytes(whole))

    def _command(self, line: bytes) -> None:
        verb = line[:4].upper()
        if verb == b"RCPT":
            self._recipient(line)
        elif verb == b"DATA":
            self._is_content = bool(self._recipients)
            self._say(b"354 go on" if self._recipients else b"554 5.5.1 no recipients")
        elif verb == b"EHLO":
            self._say(b"250-sink\r\n250 8BITMIME")
        elif verb == b"QUIT":
            self._say(b"221 bye")
            self._transport.close()
        else:
            if verb in (b"MAIL", b"RSET"):
                self._recipients = []
            self._say(b"250 ok")

    def _recipient(self, line: bytes) -> None:
        found = _ADDRESS.search(line)
        assert found is not None
        address = found[1]
        if address.startswith(b"busy") and address not in self._sink.deferred:
            self._sink.deferred.add(address)
            self._say(b"450 4.2.0 busy")
            return
        self._recipients.append(address.decode())
        self._say(b"250 ok")

    def _taken(self, content: bytes) -> None:
        found = _MESSAGE_ID.search(content)
        for recipient in self._recipients:
            self._sink.copies[recipient].append(found[1].decode() if found else "")
        self._recipients = []
        self._is_content = False
        self._owes_answer = True
        self._loop.call_later(self._sink.delay, self._answer)

    def _answer(self) -> None:
        self._owes_answer = False
        self._say(b"250 taken")
        self._go_on()

    def _say(self, reply: bytes) -> None:
        self._transport.write(reply + b"\r\n")
