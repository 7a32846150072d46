"""A resolver that is slow holds nobody for longer than there is time, and nobody asks it twice meanwhile."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from typing import Any

import pytest

from mailworker.errors import MailerUnavailable, Trouble
from mailworker.smtp import lookup
from mailworker.smtp.options import SessionOptions
from mailworker.smtp.session import Session
from tests.processes import ROOT
from tests.smtpd import Clock

REAL = socket.getaddrinfo


class Resolver:
    """A resolver that says nothing before it is told to."""

    def __init__(self):
        self.asked = []
        self.go_on = threading.Event()

    def __call__(self, host, port, **kwargs):
        self.asked.append((host, port))
        assert self.go_on.wait(30)
        return REAL("127.0.0.1", port, **kwargs)

    def finish(self):
        """Let it answer, and wait until its threads are over."""
        self.go_on.set()
        for thread in threading.enumerate():
            if thread.name == "mailworker-lookup":
                thread.join(30)
        assert not lookup._underway


@pytest.fixture
def resolver(monkeypatch):
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver)
    yield resolver
    resolver.finish()


def fails(**changes):
    values: dict[str, Any] = {"host": "relay.example", "port": 2525} | changes
    with pytest.raises(MailerUnavailable) as caught:
        Session.open(SessionOptions(**values))
    assert caught.value.trouble is Trouble.CONNECT
    return str(caught.value)


def test_a_name_is_waited_for_no_longer_than_for_a_step(resolver):
    assert fails(timeout=0.1) == "the name of relay.example:2525 was not looked up within 0.1 s"


def test_a_name_is_waited_for_no_longer_than_for_the_whole(resolver):
    text = fails(timeout=600.0, opening_timeout=0.1)
    assert text.startswith("the name of relay.example:2525 was not looked up within 0.1 s: the session was not open")


def test_a_name_that_is_being_looked_up_is_not_asked_for_again(resolver):
    for _ in range(5):
        fails(timeout=0.02)
    fails(timeout=0.02, host="other.example")
    resolver.finish()
    assert resolver.asked == [("relay.example", 2525), ("other.example", 2525)]


def test_an_answer_that_came_too_late_is_not_kept(resolver, bench):
    server = bench.serve()
    options = {"host": "relay.example", "port": server.port}
    fails(timeout=0.02, **options)
    resolver.finish()
    bench.session(server, **options)
    assert server.connections_ever == 1
    assert resolver.asked == [("relay.example", server.port)] * 2


def test_a_failure_that_came_too_late_is_not_kept(resolver, monkeypatch):
    def fails_at_last(host, port, **kwargs):
        resolver(host, port)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", fails_at_last)
    fails(timeout=0.02)
    resolver.finish()
    for asked in (2, 3):
        assert "cannot be looked up: Temporary failure in name resolution" in fails()
        assert len(resolver.asked) == asked


def test_the_time_of_the_name_is_taken_from_that_of_the_connection(bench, monkeypatch):
    clock = Clock()

    def slow(host, port, **kwargs):
        clock.now += 10
        return REAL(host, port, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    server = bench.serve()
    with pytest.raises(MailerUnavailable, match=r"was not looked up within 10 s\Z"):
        bench.session(server, clock=clock)
    assert server.connections_ever == 0


def test_without_another_thread_the_name_is_looked_up_in_this_one(bench, monkeypatch):
    def no_more(thread):
        raise RuntimeError("can't start new thread")

    asked = []

    def note(*args, **kwargs):
        asked.append(threading.current_thread())
        return REAL(*args, **kwargs)

    server = bench.serve()
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", note)
        patch.setattr(threading.Thread, "start", no_more)
        found = lookup.addresses(server.host, server.port, 10)
    assert found == REAL(server.host, server.port, type=socket.SOCK_STREAM)
    assert asked == [threading.current_thread()]
    assert not lookup._underway


FORKED = """
import os, socket, threading
from mailworker.smtp import lookup

never = threading.Event()
socket.getaddrinfo = lambda *args, **kwargs: never.wait()
assert lookup.addresses("relay.example", 25, 0.01) is None
child = os.fork()
if child == 0:
    socket.getaddrinfo = lambda *args, **kwargs: ["of the child"]
    os._exit(lookup.addresses("relay.example", 25, 10) != ["of the child"])
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_waits_for_no_lookup_of_its_parent_s():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], cwd=ROOT, timeout=60)
    assert done.returncode == 0
