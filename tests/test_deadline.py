"""One deadline for a whole conversation: within it, per thread, and on a socket."""

from __future__ import annotations

import math
import socket
import threading

import pytest

from mailworker import deadline


def test_an_inner_deadline_does_not_outlast_an_outer_one() -> None:
    assert deadline.left() == math.inf
    with deadline.within(5):
        with deadline.within(60):
            assert deadline.left() <= 5
        with deadline.within(1):
            assert deadline.left() <= 1
        assert 1 < deadline.left() <= 5
    assert deadline.left() == math.inf


def test_a_deadline_is_its_threads_own() -> None:
    seen: list[float] = []
    with deadline.within(5):
        other = threading.Thread(target=lambda: seen.append(deadline.left()))
        other.start()
        other.join()
    assert seen == [math.inf]


def test_a_sockets_own_timeout_is_as_it_was_afterwards() -> None:
    near, far = socket.socketpair()
    with near, far:
        bounded = deadline.BoundedSocket(near)
        bounded.settimeout(30)
        far.sendall(b"xy")
        with deadline.within(5):
            assert bounded.recv(1) == b"x"
            assert bounded.gettimeout() == 30
        with deadline.within(0), pytest.raises(TimeoutError):
            bounded.recv(1)
        assert bounded.recv(1) == b"y"
        assert bounded.fileno() == near.fileno()
