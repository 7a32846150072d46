"""The deadline over plain and TLS sockets, with kombu's transports for Redis and AMQP."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator

import pytest
from celery import Celery
from kombu.transport.memory import Transport as MemoryTransport

from mailworker import deadline
from mailworker.queue.bounded import bounded
from mailworker.queue.publisher import PublishError, connect
from tests.drip import Drip
from tests.smtpd import Certificates


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


def test_another_transport_stays_as_it_is() -> None:
    assert bounded(MemoryTransport) is MemoryTransport
