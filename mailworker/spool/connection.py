"""redis-py's connections as they are wanted here: bounded, and able to tell what has left.

How a connection is made and read is redis-py's. Mixed into it are that every wait keeps to the caller's deadline (`Bounded`,
also for kombu's connections to a Redis), and for the spool a note of what was written and answered (`Watched`): only that tells
a step that was certainly not made from one whose answer was lost. redis-py itself is not imported.
"""

from __future__ import annotations

import math
from typing import Any

from hiredis import HiredisError, Reader, pack_command

from mailworker.buffer import room, taken
from mailworker.deadline import BoundedSocket, for_each_address, left

#: Octets that one read takes at most.
_PIECE = 65536

_CRLF = b"\r\n"


class NoString(Exception):  # noqa: N818 - an answer of another kind
    """The answer is no string: an error, for the most part."""


class Bounded:
    """Mixed into a connection class of redis-py: connecting, reading and writing keep to the caller's deadline."""

    _sock: Any
    _parser: Any
    socket_timeout: float | None
    socket_connect_timeout: float | None

    def _connect(self) -> BoundedSocket:
        connect, wait = self.socket_connect_timeout, self.socket_timeout
        # A Unix socket has no address to look up.
        host, port = getattr(self, "host", None), getattr(self, "port", 0)
        allowed = _shorter(connect, _left()) if host is None else for_each_address(host, port, connect)
        self.socket_connect_timeout = allowed
        # The TLS handshake waits by this one.
        self.socket_timeout = _shorter(wait, allowed)
        try:
            sock = super()._connect()  # type: ignore[misc]  # redis-py's own
        finally:
            # What was left of this call is nothing to the next one on the same connection.
            self.socket_connect_timeout, self.socket_timeout = connect, wait
        sock.settimeout(wait)
        return BoundedSocket(sock)


class Watched(Bounded):
    """Mixed into a connection class of redis-py for the spool.

    Attributes:
        has_sent: something was written since `begin`.
        answered: replies since `begin` that were no errors, but for those to what changes no key.
        asking: each command is one for a slot that is on its way to this node (Redis Cluster's ASKING); a pipeline is not.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # CLIENT SETINFO would cost two round trips; what it is called differs between versions of redis-py.
        self.driver_info = self.lib_name = self.lib_version = None
        self.asking = False
        self._changes_keys = True
        # Refusals in redis-py's classes, as its own reader makes them.
        self._reader = Reader(replyError=self._parser.parse_error)
        self.begin()

    def begin(self) -> None:
        """Note anew."""
        self.has_sent = False
        self.answered = 0

    def send_command(self, *words: Any, **options: Any) -> None:
        if self.asking:
            super().send_command("ASKING")  # type: ignore[misc]  # redis-py's own
            super().read_response()  # type: ignore[misc]  # redis-py's own
        if " " in words[0]:
            # redis-py writes some commands as one word: SCRIPT LOAD.
            words = (*words[0].split(), *words[1:])
        # redis-py looks at each word before it does the same, which takes three times as long.
        self.send_packed_command([pack_command(words)], **options)
        self._changes_keys = str(words[0]).upper() != "SCRIPT"

    def send_packed_command(self, command: Any, *more: Any, **options: Any) -> None:
        _left()
        self.has_sent = self._changes_keys = True
        super().send_packed_command(command, *more, **options)  # type: ignore[misc]  # redis-py's own

    def write(self, *words: Any) -> None:
        """Send one command; as little as can be, for what is said once for each mail.

        Raises:
            OSError: it could not be sent within the socket's own timeout.
        """
        self.has_sent = self._changes_keys = True
        self._sock.bare.sendall(pack_command(words))

    def read(self) -> Any:
        """Return the answer to what `write` sent; a refusal is redis-py's error in its place.

        Raises:
            OSError: it did not come within the socket's own timeout, or the connection was lost.
        """
        return self._read(self._sock.bare)

    def ask(self, *words: Any) -> Any:
        """Send one command and return its answer: what `send_command` and `read_response` do, in half their time.

        Raises:
            RedisError: the server refuses.
            OSError: it did not answer in time, or the connection was lost.
        """
        _left()
        self.has_sent = self._changes_keys = True
        self._sock.sendall(pack_command(words))
        answer = self._read(self._sock)
        if isinstance(answer, Exception):
            try:
                raise answer
            finally:
                # A frame that holds its own error keeps itself, and all that its callers hold: the mails of a claim.
                del answer
        self.answered += 1
        return answer

    def _read(self, sock: Any) -> Any:
        reader = self._reader
        try:
            # False: not enough has come.
            while (answer := reader.gets()) is False:
                data = sock.recv(_PIECE)
                if not data:
                    raise ConnectionResetError("the server has closed the connection")
                reader.feed(data)
        except HiredisError as error:
            raise ConnectionResetError("the server's answer is none") from error
        return answer

    def string(self, *words: Any) -> bytes | None:
        """Send one command, and return the string that answers it, which may be large; None if there is none.

        hiredis gathers an answer in a buffer that it keeps, and copies it from there: both would be as large as the string.

        Raises:
            NoString: the answer is something else; the connection has been read up to its end.
            OSError: it did not come in time, or the connection was lost.
        """
        _left()
        self.has_sent = self._changes_keys = True
        self._sock.sendall(pack_command(words))
        line = bytearray()
        while not line.endswith(_CRLF):
            # One by one up to the end of the line: what lies behind it goes straight to where it stays.
            line += self._received(1)
        if not line.startswith(b"$"):
            raise NoString
        try:
            size = int(line[1:])
        except ValueError as error:
            raise ConnectionResetError("the server's answer is none") from error
        if size < 0:
            self.answered += 1
            return None
        found = room(size)
        while size > 0:
            size -= found.write(self._received(min(size, _PIECE)))
        if self._received(1) + self._received(1) != _CRLF:
            raise ConnectionResetError("the server's answer is none")
        self.answered += 1
        return taken(found)

    def _received(self, most: int) -> bytes:
        data: bytes = self._sock.recv(most)
        if not data:
            raise ConnectionResetError("the server has closed the connection")
        return data

    def read_response(self, *options: Any, **more: Any) -> Any:
        answer = super().read_response(*options, **more)  # type: ignore[misc]  # redis-py's own
        self.answered += self._changes_keys
        return answer


def _left() -> float | None:
    """Return the seconds that are left to this thread; None where no deadline is set.

    Raises:
        TimeoutError: nothing is left.
    """
    remaining = left()
    if remaining <= 0:
        raise TimeoutError("the deadline of the call is over")
    return None if remaining == math.inf else remaining


def _shorter(one: float | None, other: float | None) -> float | None:
    return min((seconds for seconds in (one, other) if seconds is not None), default=None)
