"""Bytes on one connection under a deadline: commands go out, replies come in.

It decides how long and how large a reply may be, and when a server has stopped making sense; what a reply means is for
others. The EHLO exchange and its feature list are smtplib's. A single failure says all that can go wrong here:
`ConnectionLost`; after it nothing more may be said on this connection.
"""

from __future__ import annotations

import os
import smtplib
import ssl
from enum import StrEnum
from typing import TYPE_CHECKING

from mailworker.errors import MailworkerError
from mailworker.smtp import reply as replies

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from _typeshed import ReadableBuffer

    from mailworker.outcome import Reply

#: Octets of one reply line. RFC 5321 §4.5.3.1.5 allows 512; servers that explain themselves exceed it.
MAX_LINE = 4096

#: Lines of one reply: EHLO lists of large servers have about 30.
MAX_LINES = 128

#: Octets that one read takes at most, and one block of content that is written under one deadline.
BLOCK = 65536

#: Octets of a look at whether there is anything: more than a reply has.
_FEW = 4096

#: Octets of one TLS record (RFC 8446 §5.1): what a failed write has of it on its way, nobody can read.
_RECORD = 16384


class Loss(StrEnum):
    """How a connection was lost; the value is what a text says of it."""

    CLOSED = "connection lost"
    TIMED_OUT = "timed out"
    MALFORMED = "unintelligible reply"


class ConnectionLost(MailworkerError, ConnectionError):  # noqa: N818 - a state of the connection
    """Raised when a connection is of no further use.

    Attributes:
        loss: how it was lost.
        sent: of what was being sent, the octets that had been handed to the network by then.
    """

    def __init__(self, loss: Loss, detail: str = "", sent: int = 0) -> None:
        super().__init__(f"{loss.value} ({detail})" if detail else loss.value)
        self.loss = loss
        self.sent = sent


class Dialogue(smtplib.SMTP):
    """One connection. Whoever made it closes it.

    Args:
        sock: a connected socket; it belongs to the dialogue from now on.
        local_hostname: what EHLO says.
        clock: monotonic seconds.

    Attributes:
        deadline: time on that clock at which whatever is going on has to be over.
    """

    def __init__(self, sock: socket.socket, local_hostname: str, clock: Callable[[], float]) -> None:
        super().__init__(local_hostname=local_hostname)
        self.sock: socket.socket | None = sock
        self.deadline = clock()
        self._clock = clock
        self._received = bytearray()

    def secure(self, context: ssl.SSLContext, host: str) -> None:
        """Go on under TLS, and forget what was said before it.

        What came in plain text behind the answer to STARTTLS may have been put there by anybody (RFC 3207 §6).

        Args:
            context: verifies the server.
            host: the name that its certificate has to carry.

        Raises:
            ssl.SSLError: the handshake failed, or the certificate is not what it has to be.
            ConnectionLost: it was lost, or took too long.
        """
        sock = self._armed()
        self._received.clear()
        self.ehlo_resp = self.helo_resp = None
        self.esmtp_features = {}
        self.does_esmtp = False
        try:
            self.sock = context.wrap_socket(sock, server_hostname=host)
        except ssl.SSLError:
            raise
        except OSError as error:
            raise _lost(error) from error

    def send(self, s: ReadableBuffer | str) -> None:
        """Write all of these bytes before the deadline.

        Raises:
            ConnectionLost: it was lost, or the server did not take them in time; `sent` says how many of them had left. Also
                if there is something unread: what is said now could be taken to be answered by it.
        """
        if self._received:
            raise ConnectionLost(Loss.MALFORMED, "a reply too many")
        data = memoryview(s.encode("ascii") if isinstance(s, str) else s)
        # A write of several records may fail with some of them gone, and does not tell.
        block = _RECORD if isinstance(self.sock, ssl.SSLSocket) else BLOCK
        at = 0
        while at < len(data):
            try:
                # Not sendall: under TLS its timeout begins anew with every piece that the server takes.
                at += self._armed().send(data[at : at + block])
            except ConnectionLost as lost:
                lost.sent = at
                raise
            except OSError as error:
                raise _lost(error, at) from error

    def ask(self, command: bytes) -> Reply:
        """Send one command line and return its reply.

        Raises:
            ConnectionLost: it was lost before the reply was complete, or the reply is none.
        """
        self.send(command + b"\r\n")
        return self.read_reply()

    def ask_in_auth(self, command: bytes) -> tuple[Reply, str]:
        """Send one line of an AUTH exchange and return its reply, and the text of that as it came.

        A reply's text is for people, and so is mended and cut. A challenge is data: what is missing of it makes the answer
        to it a wrong one.

        Raises:
            ConnectionLost: as `ask` does; also for a challenge that is longer than any line may be.
        """
        self.send(command + b"\r\n")
        reply, lines = self._read([])
        return reply, b" ".join(line[4:].strip() for line in lines).decode("ascii", "replace")

    def read_reply(self) -> Reply:
        """Return the next reply.

        Raises:
            ConnectionLost: it was lost before the reply was complete, or the reply is none.
        """
        line = self._read_line()
        try:
            reply = replies.parse_line(line)
        except replies.MalformedReply as error:
            raise ConnectionLost(Loss.MALFORMED, str(error)) from error
        return self._read([line])[0] if reply is None else reply

    def read_replies(self, most: int) -> list[Reply]:
        """Return the next replies: one that is waited for, and those that have come with it.

        The answers to a group of commands come in one packet mostly; to take them one by one costs three times as much.

        Args:
            most: how many at most.

        Raises:
            ConnectionLost: as `read_reply` does, for the first of them.
        """
        found: list[Reply] = []
        received, at = self._received, 0
        while len(found) < most:
            end = received.find(b"\n", at)
            if not at <= end <= at + MAX_LINE:
                break
            try:
                reply = replies.parse_line(bytes(received[at:end]).removesuffix(b"\r"))
            except replies.MalformedReply:
                break
            if reply is None:
                break
            found.append(reply)
            at = end + 1
        del received[:at]
        return found or [self.read_reply()]

    def getreply(self) -> tuple[int, bytes]:
        """Return the next reply in smtplib's form, for its EHLO."""
        reply, lines = self._read([])
        return reply.code, b"\n".join(line[4:].strip(b" \t\r\n") for line in lines)

    @property
    def has_unread(self) -> bool:
        """Tell, without a look at the connection, whether more has come than was read."""
        return bool(self._received)

    def has_input(self) -> bool:
        """Tell, without waiting, whether the server has said something unasked, or has gone."""
        if self._received:
            return True
        if self.sock is None:
            return True
        try:
            if isinstance(self.sock, ssl.SSLSocket) or self.sock.gettimeout() is None:
                # A read, and no select: TLS reads its own records (session tickets) from a socket that looks readable.
                self.sock.setblocking(False)
                data = self.sock.recv(BLOCK)
            else:
                # Below its timeout a socket never waits. One system call, in place of three and an empty buffer of 64 KB.
                data = os.read(self.sock.fileno(), _FEW)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return False
        except OSError:
            return True
        self._received += data
        return True

    def _read(self, lines: list[bytes]) -> tuple[Reply, list[bytes]]:
        """Read a reply to its last line, of which these lines have been read."""
        try:
            while True:
                lines.append(self._read_line())
                if replies.is_last_line(lines[-1]):
                    return replies.parse(lines), lines
                if len(lines) == MAX_LINES:
                    raise ConnectionLost(Loss.MALFORMED, f"a reply of more than {MAX_LINES} lines")
        except replies.MalformedReply as error:
            raise ConnectionLost(Loss.MALFORMED, str(error)) from error

    def _read_line(self) -> bytes:
        searched = 0
        while (end := self._received.find(b"\n", searched)) < 0:
            searched = len(self._received)
            if searched > MAX_LINE:
                break
            sock = self._armed()
            try:
                data = sock.recv(BLOCK)
            except OSError as error:
                raise _lost(error) from error
            if not data:
                raise ConnectionLost(Loss.CLOSED)
            self._received += data
        if not 0 <= end <= MAX_LINE:
            raise ConnectionLost(Loss.MALFORMED, f"a reply line of more than {MAX_LINE} octets")
        line = bytes(self._received[:end]).removesuffix(b"\r")
        del self._received[: end + 1]
        return line

    def _armed(self) -> socket.socket:
        """Return the socket with what is left until the deadline as its timeout."""
        if self.sock is None:
            raise ConnectionLost(Loss.CLOSED)
        left = self.deadline - self._clock()
        if left <= 0:
            raise ConnectionLost(Loss.TIMED_OUT)
        self.sock.settimeout(left)
        return self.sock


def _lost(error: OSError, sent: int = 0) -> ConnectionLost:
    return ConnectionLost(Loss.TIMED_OUT if isinstance(error, TimeoutError) else Loss.CLOSED, sent=sent)
