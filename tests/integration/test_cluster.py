"""A cluster of a broker and two workers (pytest-celery, on local processes)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_celery import (
    CeleryBackendCluster,
    CeleryBrokerCluster,
    CeleryTestBroker,
    CeleryTestSetup,
    CeleryTestWorker,
    CeleryWorkerCluster,
)

from mailworker import EmailMessage, get_connection
from mailworker.queue import app as apps
from mailworker.testing.script import Hang
from mailworker.testing.smtpd import ScriptedServer
from tests.integration.cluster import WorkerNode, redis_node
from tests.integration.conftest import Broker, producing
from tests.processes import RedisServer, Worker

pytestmark = pytest.mark.integration


@pytest.fixture
def local_redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def celery_broker_cluster(local_redis: RedisServer) -> CeleryBrokerCluster:
    return CeleryBrokerCluster(CeleryTestBroker(redis_node(local_redis)))


@pytest.fixture
def celery_backend_cluster() -> CeleryBackendCluster | None:
    # Mail has no results.
    return None


@pytest.fixture
def celery_worker_cluster(
    local_redis: RedisServer, relay_settings: dict[str, Any], namespace: str
) -> Iterator[CeleryWorkerCluster]:
    broker = Broker(local_redis.url, namespace)
    with producing(broker):
        nodes = [
            CeleryTestWorker(
                WorkerNode(name, Worker({**relay_settings, **broker.settings}, "-c", "1", "-n", f"{name}@%h")),
                app=apps.current(),
            )
            for name in ("mail1", "mail2")
        ]
        yield CeleryWorkerCluster(*nodes)
        # A cluster leaves its nodes to themselves.
        for node in nodes:
            node.teardown()


def test_two_workers_share_the_mail_and_one_takes_over_when_the_other_is_killed(
    celery_setup: CeleryTestSetup, relay: ScriptedServer
) -> None:
    workers = celery_setup.worker_cluster.nodes
    assert len(workers) == 2
    relay.script(dot=[Hang("250 ok"), Hang("250 ok")])
    messages = [EmailMessage("s", "b", "from@example.com", [f"to{n}@example.com"]) for n in range(200)]
    assert get_connection().send_messages(messages) == 200
    relay.wait_hanging(2)
    assert relay.connections_open == 2, "each worker has taken a chunk"
    relay.release()
    relay.wait_for(200)
    got = Counter(recipient for one in relay.accepted for recipient in one.recipients)
    assert got == Counter(f"to{n}@example.com" for n in range(200))
    workers[0].container.kill("SIGTERM")
    assert get_connection().send_messages(messages[:10]) == 10
    relay.wait_for(210)
    assert "mail accepted" in workers[1].container.logs()
