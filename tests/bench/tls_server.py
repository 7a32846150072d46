"""A receiver with STARTTLS and AUTH, which smtp-sink does not have: takes every mail, forgets it, and counts.

    python -m tests.bench.tls_server CERTIFICATE_AND_KEY COUNT_FILE

A thread for each connection and blocking sockets: so the TLS is OpenSSL's own work, and a mail costs few steps of Python. It
offers PIPELINING, STARTTLS, and then AUTH PLAIN and LOGIN, where any login is right and none is an error. It answers a batch of
commands that came together with one write, as servers do. How many mails it has taken stands in the file, as 8 bytes.
"""

from __future__ import annotations

import mmap
import socket
import ssl
import struct
import sys
import threading
from pathlib import Path

_DOT = b"\r\n.\r\n"

_ALWAYS = {b"QUIT": b"221 2.0.0 Bye\r\n", b"RSET": b"250 2.0.0 Ok\r\n", b"NOOP": b"250 2.0.0 Ok\r\n"}

#: To those who have logged in.
_KNOWN = {b"MAIL": b"250 2.1.0 Ok\r\n", b"RCPT": b"250 2.1.5 Ok\r\n", b"DATA": b"354 go on\r\n"}


class Count:
    """A number in a file, for another process to read."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)
        self._number = 0
        self._lock = threading.Lock()

    def add(self) -> None:
        with self._lock:
            self._number += 1
            struct.pack_into("<Q", self._map, 0, self._number)


class _Connection:
    def __init__(self, sock: socket.socket, context: ssl.SSLContext, count: Count) -> None:
        self._sock = sock
        self._context = context
        self._count = count
        self._is_secure = False
        self._is_known = False
        #: Lines of a login that are still to come.
        self._awaited = 0
        self._is_data = False

    def serve(self) -> None:
        """Answer until the client is gone."""
        try:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sock.sendall(b"220 bench ESMTP\r\n")
            read = b""
            while data := self._sock.recv(65536):
                read = self._answer(read + data)
        except (OSError, EOFError):
            pass
        finally:
            self._sock.close()

    def _answer(self, read: bytes) -> bytes:
        """Answer all that is complete; return the rest."""
        replies: list[bytes] = []
        while True:
            if self._is_data:
                # The CRLF before a lone dot may be the end of DATA itself.
                end = 0 if read.startswith(_DOT[2:]) else read.find(_DOT) + 2
                if end == 1:
                    break
                read = read[end + 3 :]
                self._is_data = False
                self._count.add()
                replies.append(b"250 2.0.0 Ok\r\n")
                continue
            line, is_whole, rest = read.partition(b"\r\n")
            if not is_whole:
                break
            read = rest
            reply = self._reply(line)
            replies.append(reply)
            if reply.startswith((b"220", b"221")):
                break
        if replies:
            self._sock.sendall(b"".join(replies))
            if replies[-1].startswith(b"220"):
                self._sock = self._context.wrap_socket(self._sock, server_side=True)
                self._is_secure = True
                # What was sent before the handshake counts as never sent (RFC 3207, 4.2).
                return b""
            if replies[-1].startswith(b"221"):
                raise EOFError
        return read

    def _reply(self, line: bytes) -> bytes:
        if self._awaited:
            return self._login(self._awaited - 1)
        word, _, rest = line.partition(b" ")
        word = word.upper()
        if word == b"EHLO":
            more = b"250-AUTH PLAIN LOGIN\r\n" if self._is_secure else b"250-STARTTLS\r\n"
            return b"250-bench\r\n250-PIPELINING\r\n" + more + b"250 8BITMIME\r\n"
        if word == b"STARTTLS" and not self._is_secure:
            return b"220 2.0.0 go on\r\n"
        if word == b"AUTH" and self._is_secure:
            kind, _, initial = rest.partition(b" ")
            return self._login((1 if kind.upper() == b"PLAIN" else 2) - bool(initial))
        if not self._is_known or word in _ALWAYS:
            return _ALWAYS.get(word, b"530 5.7.0 first STARTTLS and AUTH\r\n")
        self._is_data = word == b"DATA"
        return _KNOWN.get(word, b"500 5.5.2 what\r\n")

    def _login(self, lines: int) -> bytes:
        """Answer a part of a login, of which so many lines are still to come."""
        self._awaited = lines
        self._is_known = not lines
        return b"334 UGFzc3dvcmQ6\r\n" if lines else b"235 2.7.0 Ok\r\n"


def main() -> None:
    certificate, count_file = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    count = Count(Path(count_file))
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
        print(f"listening on {listener.getsockname()[1]}", flush=True)
        while True:
            sock, _ = listener.accept()
            one = _Connection(sock, context, count)
            threading.Thread(target=one.serve, daemon=True).start()


if __name__ == "__main__":
    main()
