"""Bytes on one connection: what counts as sent when a write fails, and what is never said."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

import pytest

from mailworker.smtp.dialogue import BLOCK, ConnectionLost, Dialogue, Loss


@pytest.fixture
def pair():
    """Two ends of a connection that holds little."""
    ours, theirs = socket.socketpair()
    for one in (ours, theirs):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
    yield ours, theirs
    ours.close()
    theirs.close()


def secured(dialogue, theirs, certificates):
    """Bring both ends under TLS; return the other one."""
    found = []
    thread = threading.Thread(
        target=lambda: found.append(certificates.server().wrap_socket(theirs, server_side=True)), daemon=True
    )
    thread.start()
    dialogue.secure(certificates.client(), "localhost")
    thread.join()
    return found[0]


def drained(sock):
    """Return all that can still be read."""
    data = bytearray()
    with suppress(OSError):
        while piece := sock.recv(BLOCK):
            data += piece
    return bytes(data)


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "TLS"])
def test_a_server_can_read_no_more_of_a_failed_write_than_counts_as_sent(pair, certificates, is_tls):
    ours, theirs = pair
    dialogue = Dialogue(ours, "client.example.com", time.monotonic)
    dialogue.deadline = time.monotonic() + 10.0
    if is_tls:
        theirs = secured(dialogue, theirs, certificates)
    dialogue.deadline = time.monotonic() + 0.3
    with pytest.raises(ConnectionLost) as caught:
        dialogue.send(b"x" * 1_000_000)
    assert caught.value.loss is Loss.TIMED_OUT
    dialogue.close()
    arrived = drained(theirs)
    theirs.close()
    # One record of TLS at least, which a write of several would not count.
    assert 16384 <= len(arrived) <= caught.value.sent


def test_nothing_is_said_while_something_is_unread(pair):
    ours, theirs = pair
    dialogue = Dialogue(ours, "client.example.com", time.monotonic)
    dialogue.deadline = time.monotonic() + 10.0
    theirs.sendall(b"250 one\r\n250 two\r\n")
    assert dialogue.read_reply().text == "one"
    assert dialogue.has_unread
    with pytest.raises(ConnectionLost, match="a reply too many") as caught:
        dialogue.send(b"MAIL FROM:<>\r\n")
    assert (caught.value.loss, caught.value.sent) == (Loss.MALFORMED, 0)
    assert dialogue.read_reply().text == "two"
    dialogue.send(b"QUIT\r\n")
    assert theirs.recv(100) == b"QUIT\r\n"
