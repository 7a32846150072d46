"""What the scripted server says of commands that come together, and how its answers to them leave."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mailworker.testing import DROP, RESET, Drop, Script, ScriptedServer

GROUP = b"MAIL FROM:<s@x>\r\nRCPT TO:<a@x>\r\nDATA\r\n"
ANSWERS = [b"250 2.1.0 sender taken\r\n", b"250 2.1.5 recipient taken\r\n", b"354 go ahead\r\n"]


class Left:
    """What left a server, piece by piece."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def __call__(self, send, data):
        self.pieces.append(data)
        send(data)


@contextmanager
def greeted(server) -> Iterator[socket.socket]:
    with socket.create_connection((server.host, server.port), timeout=20) as sock:
        read_until(sock, b"ESMTP\r\n")
        sock.sendall(b"HELO c\r\n")
        read_until(sock, b"you\r\n")
        yield sock


def read_until(sock, end):
    data = b""
    while not data.endswith(end):
        piece = sock.recv(65536)
        assert piece, data
        data += piece
    return data


def test_what_came_together_is_one_burst():
    with ScriptedServer() as server, greeted(server) as sock:
        sock.sendall(GROUP)
        read_until(sock, ANSWERS[-1])
        sock.sendall(b"x\r\n.\r\n" + GROUP)
        read_until(sock, ANSWERS[-1])
        sock.sendall(b"y\r\n")
        sock.sendall(b".\r\nQUIT\r\n")
        read_until(sock, b"bye\r\n")
        assert server.sessions[0].bursts == [
            ["HELO"],
            ["MAIL", "RCPT", "DATA"],
            [".", "MAIL", "RCPT", "DATA"],
            [".", "QUIT"],
        ]


@pytest.mark.parametrize("joined", [False, True])
def test_answers_leave_each_by_itself_or_all_together(joined):
    left = Left()
    with ScriptedServer(Script(joined=joined)) as server, greeted(server) as sock:
        server.behaviour.leaving = left
        sock.sendall(GROUP)
        read_until(sock, ANSWERS[-1])
        sock.sendall(b"x\r\n.\r\n" + GROUP)
        read_until(sock, ANSWERS[-1])
    taken = b"250 2.0.0 message taken\r\n"
    apart = [*ANSWERS, taken, *ANSWERS]
    assert left.pieces == ([b"".join(ANSWERS), b"".join([taken, *ANSWERS])] if joined else apart)


@pytest.mark.parametrize("fault", ["421 bye", DROP, Drop(after="250 ok")], ids=["421", "drop", "drop after a reply"])
def test_answers_that_are_kept_back_leave_before_the_end(fault):
    with ScriptedServer(Script(joined=True, rcpt=fault)) as server, greeted(server) as sock:
        sock.sendall(GROUP)
        last = {"421 bye": b"421 bye\r\n", DROP: b""}.get(fault, b"250 ok\r\n")
        assert read_until(sock, ANSWERS[0] + last) == ANSWERS[0] + last
        assert sock.recv(100) == b""


def test_a_reset_comes_behind_the_answers():
    with ScriptedServer(Script(joined=True, rcpt=RESET)) as server, greeted(server) as sock:
        sock.sendall(GROUP)
        server.wait_closed()
        assert server.sessions[0].commands[-1] == "RCPT TO:<a@x>"
