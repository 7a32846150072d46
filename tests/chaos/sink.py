"""An SMTP server that only counts, quickly: which recipient got which message how often, and when.

A copy counts when its final dot has come, whether or not anybody hears the answer. An address that begins with "busy" is
told 450 the first time. It runs in a thread of this process and lives through whatever happens to its clients.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import Counter, defaultdict
from types import TracebackType
from typing import Self

_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_ADDRESS = re.compile(rb"<([^>]*)>")


class Sink:
    """The server; a context manager that listens inside.

    Args:
        delay: seconds between the final dot and the answer to it: the time in which a death leaves a mail in doubt.
        refuses: a domain of which it takes no recipient (550).
        pipelines: it offers PIPELINING (RFC 2920).

    Attributes:
        copies: recipient -> Message-ID of each copy.
        refused: recipient -> how often it was refused.
        answered: recipient -> when the last copy was answered with 250, by `time.monotonic()`.
        port: where it listens, on 127.0.0.1.
        name: for a table.
    """

    def __init__(self, delay: float = 0.0, *, refuses: str = "", pipelines: bool = False) -> None:
        self.delay = delay
        self.refuses = f"@{refuses}".encode() if refuses else b""
        self.pipelines = pipelines
        self.copies: defaultdict[str, list[str]] = defaultdict(list)
        self.refused: Counter[str] = Counter()
        self.answered: dict[str, float] = {}
        self.deferred: set[bytes] = set()
        self.port = 0
        self.name = "a server of ours"
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

    def count(self) -> int:
        """Return to how many recipients it has said 250."""
        return len(self.answered)

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
        self._replies: list[bytes] = []
        self._recipients: list[str] = []
        self._taken_for: list[str] = []
        self._is_content = False
        self._owes_answer = False
        self._is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(b"220 sink ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._go_on()

    def _go_on(self) -> None:
        """Answer all that is complete; what came together is answered together (RFC 2920 §3.2)."""
        while not self._owes_answer:
            end = b"\r\n.\r\n" if self._is_content else b"\r\n"
            at = self._buffer.find(end)
            if at < 0:
                break
            whole = bytes(self._buffer[:at])
            del self._buffer[: at + len(end)]
            if self._is_content:
                self._taken(whole)
            else:
                self._command(whole)
        if self._replies:
            self._transport.write(b"".join(self._replies))
            self._replies = []
            if self._is_over:
                self._transport.close()

    def _command(self, line: bytes) -> None:
        verb = line[:4].upper()
        if verb == b"RCPT":
            self._recipient(line)
        elif verb == b"DATA":
            self._is_content = bool(self._recipients)
            self._say(b"354 go on" if self._recipients else b"554 5.5.1 no recipients")
        elif verb == b"EHLO":
            self._say(
                b"250-sink\r\n250-PIPELINING\r\n250 8BITMIME" if self._sink.pipelines else b"250-sink\r\n250 8BITMIME"
            )
        elif verb == b"QUIT":
            self._say(b"221 bye")
            self._is_over = True
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
        if self._sink.refuses and address.endswith(self._sink.refuses):
            self._sink.refused[address.decode()] += 1
            self._say(b"550 5.1.1 no such user here")
            return
        self._recipients.append(address.decode())
        self._say(b"250 ok")

    def _taken(self, content: bytes) -> None:
        found = _MESSAGE_ID.search(content)
        message_id = found[1].decode() if found else ""
        for recipient in self._recipients:
            self._sink.copies[recipient].append(message_id)
        self._taken_for, self._recipients = self._recipients, []
        self._is_content = False
        if self._sink.delay:
            self._owes_answer = True
            self._loop.call_later(self._sink.delay, self._answer)
        else:
            self._answered()

    def _answer(self) -> None:
        self._owes_answer = False
        self._answered()
        self._go_on()

    def _answered(self) -> None:
        self._say(b"250 2.0.0 taken")
        now = time.monotonic()
        for recipient in self._taken_for:
            self._sink.answered[recipient] = now

    def _say(self, reply: bytes) -> None:
        self._replies.append(reply + b"\r\n")
