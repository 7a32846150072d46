"""The bytes between a scripted SMTP server and one client: what comes in, what goes out, and how it is cut off.

Whatever it waits for, it can be told to let go: to end a hang, to say farewell, to stop. It knows commands as lines and a
content as what ends with CRLF.CRLF; what they mean is the connection's part.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import struct
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from mailworker.testing.script import OK, Drip, Drop, Hang, on_wire, reply_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from mailworker.testing.record import EndedBy
    from mailworker.testing.script import Answer, Script

#: Seconds that the rest of a content is read for after an early reply, so that no reset overtakes the reply.
LINGER = 5.0

_END = b"\r\n.\r\n"


class Ended(Exception):  # noqa: N818 - an event
    """Raised when the connection is over.

    Attributes:
        by: who ended it.
    """

    def __init__(self, by: EndedBy) -> None:
        super().__init__(by)
        self.by: EndedBy = by


class Channel:
    """One client's socket.

    Args:
        sock: connected; it belongs to the channel from now on.
        script: returns the script as it is now.

    Attributes:
        is_new_burst: something came since it was last set to False.
        is_stopping: it was told to stop.
    """

    def __init__(self, sock: socket.socket, script: Callable[[], Script]) -> None:
        #: The next command is not there because of what was there before.
        self.is_new_burst = True
        self.is_stopping = False
        self._sock = sock
        self._script = script
        self._buffer = bytearray()
        #: Answers that are kept back.
        self._kept = bytearray()
        self._farewell: str | None = None
        self._releases = 0
        self._alarm, self._bell = socket.socketpair()
        self._alarm.setblocking(False)
        self._selector = selectors.DefaultSelector()
        # By number: the socket keeps its own when it turns into one of TLS.
        self._selector.register(sock.fileno(), selectors.EVENT_READ)
        self._selector.register(self._alarm.fileno(), selectors.EVENT_READ)

    # From other threads.

    def release(self) -> None:
        """End the hang that is on."""
        self._releases += 1
        self._ring()

    def hang_up(self, farewell: str) -> None:
        """Say farewell, if it is not "", and close as soon as no command is being worked on."""
        self._farewell = farewell
        self._ring()

    def stop(self) -> None:
        """Close at once."""
        self.is_stopping = True
        self._ring()

    def _ring(self) -> None:
        with suppress(OSError):
            self._bell.send(b"!")

    # What comes in.

    def _wait(self, wanted: Callable[[], bool], seconds: float | None = None, *, idle: bool = False) -> bool:
        """Read until something is there; False if the time is over first."""
        deadline = None if seconds is None else time.monotonic() + seconds
        while not wanted():
            self.let_go()
            if self.is_stopping:
                raise Ended("server")
            if idle and self._farewell is not None:
                self.end(Drop(after=self._farewell))
            if not (isinstance(self._sock, ssl.SSLSocket) and self._sock.pending()):
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return False
                ready = [key.fd for key, _ in self._selector.select(left)]
                if self._alarm.fileno() in ready:
                    self._alarm.recv(64)
                    continue
                if not ready:
                    continue
            data = self._sock.recv(65536)
            if not data:
                raise Ended("client")
            self._buffer += data
            self.is_new_burst = True
        return True

    def read_line(self, *, idle: bool = False) -> str:
        """Return the next line; `idle`: between two commands, where the client may be sent away."""
        seconds = self._script().idle if idle else None
        if not self._wait(lambda: b"\n" in self._buffer, seconds, idle=idle):
            self.end(Drop(after="421 4.4.2 idle for too long"))
        line, _, rest = bytes(self._buffer).partition(b"\n")
        self._buffer[:] = rest
        return line.removesuffix(b"\r").decode("utf-8", "surrogateescape")

    def read_content(self) -> bytes:
        """Return everything up to CRLF.CRLF, and nothing else ends it."""
        # The CRLF before the content belongs to the line DATA: a content may be nothing but the dot.
        self._buffer[:0] = b"\r\n"
        searched = 0

        def is_complete() -> bool:
            nonlocal searched
            if self._buffer.find(_END, searched) >= 0:
                return True
            searched = max(0, len(self._buffer) - len(_END))
            return False

        self._wait(is_complete)
        content, _, rest = bytes(self._buffer).partition(_END)
        self._buffer[:] = rest
        return (content + b"\r\n")[2:]

    def wait_for_content(self) -> None:
        """Wait until something of a content has come."""
        self._wait(lambda: bool(self._buffer))

    def forget(self) -> None:
        """Forget what has come and was not read."""
        self._buffer.clear()

    def linger(self) -> None:
        """Say no more, and throw away what is still coming."""
        if not isinstance(self._sock, ssl.SSLSocket):
            self._sock.shutdown(socket.SHUT_WR)

        def discard() -> bool:
            self._buffer.clear()
            return False

        with suppress(Ended):
            self._wait(discard, LINGER)
        raise Ended("server")

    def hang(self, hang: Hang) -> None:
        """Say nothing until `release`; deaf: and read nothing."""
        releases = self._releases
        if hang.deaf:
            self._selector.unregister(self._sock.fileno())
        self._wait(lambda: self._releases > releases)
        if hang.deaf:
            self._selector.register(self._sock.fileno(), selectors.EVENT_READ)

    # What goes out.

    def say(self, answer: Answer, default: str) -> str:
        """Give an answer; return the reply that it holds."""
        answer = default if answer is OK else answer
        text = reply_of(answer)
        if isinstance(answer, Drop):
            self.end(answer)
        elif isinstance(answer, Drip):
            for byte in on_wire(answer.text):
                self._wait(lambda: False, answer.seconds)
                self.send(bytes([byte]))
        else:
            self.send(answer if isinstance(answer, bytes) else on_wire(text))
        if text.startswith("421"):
            self.let_go()
            raise Ended("server")
        return text

    def send(self, data: bytes) -> None:
        """Send, or keep back if the script joins the answers to commands that have come together."""
        self._kept += data
        if not (self._script().joined and b"\n" in self._buffer):
            self.let_go()

    def let_go(self) -> None:
        """Send what was kept back."""
        data = bytes(self._kept)
        self._kept.clear()
        if not data:
            return
        leaving = self._script().leaving
        if leaving is None:
            self._sock.sendall(data)
        else:
            leaving(self._sock.sendall, data)

    def end(self, drop: Drop) -> None:
        """Close as the fault says."""
        with suppress(OSError):
            if drop.after:
                self.send(on_wire(drop.after))
            self.let_go()
            if drop.reset:
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Ended("server")

    def secure(self, context: ssl.SSLContext) -> None:
        """Go on under TLS."""
        self._sock = context.wrap_socket(self._sock, server_side=True)

    def close(self) -> None:
        """Close it."""
        self._selector.close()
        for sock in (self._sock, self._alarm, self._bell):
            sock.close()
