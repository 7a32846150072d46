"""One deadline for a whole conversation, over plain and TLS sockets, with Redis's client and AMQP's."""

from __future__ import annotations

import math
import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest
from celery import Celery
from kombu.transport.memory import Transport as MemoryTransport

from mailworker.queue import deadline
from mailworker.queue.publisher import PublishError, connect
from tests.smtpd import Certificates


class Drip:
    """A server on 127.0.0.1 that answers everybody with one byte now and then, for ever."""

    def __init__(self, context: ssl.SSLContext | None, first: bytes) -> None:
        self._context = context
        self._first = first
        self._ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.sent = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._drip, args=(client,), daemon=True).start()

    def _drip(self, client: socket.socket) -> None:
        try:
            with client if self._context is None else self._context.wrap_socket(client, server_side=True) as talk:
                # A broker speaks when it is spoken to; what comes earlier upsets the options that py-amqp sets on its socket.
                talk.recv(1)
                talk.sendall(self._first)
                while not self._ended.wait(0.02):
                    talk.sendall(b"a")
                    self.sent += 1
        except OSError:
            return

    def close(self) -> None:
        self._ended.set()
        self._listener.close()


@pytest.fixture
def drip() -> Iterator[Callable[..., Drip]]:
    made: list[Drip] = []

    def make(context: ssl.SSLContext | None = None, first: bytes = b"") -> Drip:
        made.append(Drip(context, first))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return Certificates()


#: A simple string of Redis's that never ends, and an AMQP frame of 256 MB.
FIRST = {"redis": b"+", "amqp": b"\x01\x00\x00\x0f\xff\xff\xff"}


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_drips_is_left_at_the_deadline(
    drip: Callable[..., Drip], certificates: Certificates, scheme: str, *, tls: bool
) -> None:
    server = drip(certificates.server() if tls else None, FIRST[scheme])
    app = Celery("drip", broker=f"{scheme}://127.0.0.1:{server.port}//", set_as_current=False)
    if tls:
        app.conf.broker_use_ssl = {"redis": {"ssl_cert_reqs": None}, "amqp": {"cert_reqs": ssl.CERT_NONE}}[scheme]
    # The bytes come well within the ten seconds that one wait may take, so that nothing else ends this.
    with deadline.within(0.3), pytest.raises(PublishError, match="it does not answer"):
        connect(app, 10.0)
    assert server.sent > 2


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


def test_another_transport_stays_as_it_is() -> None:
    assert deadline.bounded(MemoryTransport) is MemoryTransport
