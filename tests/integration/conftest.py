"""Brokers, relays and workers for the tests that go the whole way."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mailworker import settings
from mailworker.lane import LANES
from mailworker.queue import app as apps
from mailworker.queue import dispatch, lanes
from mailworker.testing.smtpd import ScriptedServer
from tests.processes import RABBITMQ_URL, DurableRedis, RedisServer, Worker, delete_queues, missing, rabbitmq_is_there
from tests.proxy import Proxy


@dataclass(frozen=True)
class Broker:
    """A broker and a namespace in it that is this test's own; `spool` is where mail is kept, empty = in the tasks."""

    url: str
    namespace: str
    spool: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "MAILWORKER_BROKER_URL": self.url,
            "MAILWORKER_NAMESPACE": self.namespace,
            "MAILWORKER_SPOOL_URL": self.spool,
        }

    @property
    def queues(self) -> list[str]:
        return [*(lanes.queue_name(self.namespace, lane) for lane in LANES), lanes.dead_queue_name(self.namespace)]


@pytest.fixture
def namespace() -> str:
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
def redis_broker(namespace: str) -> Iterator[Broker]:
    with RedisServer() as server:
        yield Broker(server.url, namespace)


@pytest.fixture
def spool_broker(namespace: str) -> Iterator[Broker]:
    """A Redis that carries the wake-ups and keeps the mail."""
    with RedisServer() as server:
        yield Broker(server.url, namespace, server.url)


@pytest.fixture
def spool(spool_broker: Broker) -> Iterator[Broker]:
    """A spool of the test's own, into which this process enqueues."""
    with producing(spool_broker):
        yield spool_broker


@pytest.fixture
def durable(tmp_path: Path, namespace: str) -> Iterator[tuple[DurableRedis, Broker]]:
    """A spool in a Redis that can be killed and frozen, into which this process enqueues."""
    with DurableRedis(tmp_path) as server:
        broker = Broker(server.url, namespace, server.url)
        with producing(broker):
            yield server, broker


@pytest.fixture
def rabbitmq_broker(namespace: str) -> Iterator[Broker]:
    if not rabbitmq_is_there():
        missing("RabbitMQ on 127.0.0.1:5672")
    broker = Broker(RABBITMQ_URL, namespace)
    yield broker
    delete_queues(broker.url, broker.queues)


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request: pytest.FixtureRequest) -> Broker:
    found: Broker = request.getfixturevalue(f"{request.param}_broker")
    return found


@pytest.fixture(params=["redis", "rabbitmq", "spool"])
def carrier(request: pytest.FixtureRequest) -> Broker:
    """Each way that mail travels: in tasks on both brokers, and in the spool."""
    found: Broker = request.getfixturevalue(f"{request.param}_broker")
    return found


@pytest.fixture
def proxy(broker: Broker) -> Iterator[Proxy]:
    port = int(broker.url.rpartition(":")[2].split("/")[0])
    with Proxy(port) as one:
        yield one


@pytest.fixture
def through_proxy(broker: Broker, proxy: Proxy) -> Broker:
    port = broker.url.rpartition(":")[2].split("/")[0]
    return Broker(broker.url.replace(f":{port}/", f":{proxy.port}/"), broker.namespace)


@pytest.fixture
def relay() -> Iterator[ScriptedServer]:
    with ScriptedServer() as server:
        yield server


@pytest.fixture
def relay_settings(relay: ScriptedServer) -> dict[str, Any]:
    """What a worker has to know to deliver to `relay`, and to be quick about it."""
    return {
        "EMAIL_HOST": relay.host,
        "EMAIL_PORT": str(relay.port),
        "EMAIL_TIMEOUT": "20",
        "MAILWORKER_RETRY_SCHEDULE": "1",
        "MAILWORKER_RETRY_JITTER": "0",
        "MAILWORKER_RELAY_BACKOFF": "1",
    }


@pytest.fixture
def start_worker(relay_settings: dict[str, Any]) -> Iterator[Callable[..., Worker]]:
    """Start workers as users do, and end them with the test."""
    with ExitStack() as stack:

        def start(broker: Broker, *options: str, **env: str) -> Worker:
            known = {**relay_settings, **broker.settings, **env}
            return stack.enter_context(Worker(known, *(options or ("-c", "2")), "-l", "INFO"))

        yield start


@pytest.fixture
def producer(broker: Broker) -> Iterator[Broker]:
    """Let this process enqueue into the test's broker."""
    with producing(broker):
        yield broker


@contextmanager
def producing(broker: Broker, **more: Any) -> Iterator[None]:
    """Let this process enqueue into a broker, with more settings if need be."""
    apps.uninstall()
    try:
        with settings.override(**{**broker.settings, **more}):
            yield
            dispatch.close(apps.current())
    finally:
        apps.uninstall()
