from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

import fakeredis
import pytest
import redis

from mailworker.outcome import Outcome
from mailworker.spool.base import Leased, Limits, Spool
from mailworker.spool.redis import RedisSpool
from mailworker.spool.script import scripts
from tests import processes
from tests.direct import Direct
from tests.spool.conformance import SpoolConformance
from tests.spool.harness import OpenHarness

#: The scripts with a clock that a test sets, in the place of that one call of TIME.
_CLOCK = "local now = tonumber(redis.call('GET', KEYS[1] .. 'test-clock'))"
PARTS = scripts({"clock": _CLOCK})

_numbers = count(1)


class RedisHarness:
    """A namespace of its own in a Redis; a second worker has a client of its own."""

    def __init__(
        self,
        connect: Callable[[], Any],
        limits: Mapping[str, Limits],
        retention: float,
        *,
        around: Callable[[RedisSpool], Any] = lambda spool: spool,
    ) -> None:
        self._connect = connect
        self._around = around
        self._limits = limits
        self._retention = retention
        self.namespace = f"conformance-{next(_numbers)}"
        self._at = 1_700_000_000.0
        self._client = connect()
        self._client.flushdb()
        self.advance(0)
        self.spool: Spool = self.second_worker()

    def advance(self, seconds: float) -> None:
        self._at += seconds
        self._client.set(f"{{{self.namespace}}}:test-clock", f"{self._at:.6f}")

    def second_worker(self) -> Spool:
        server = Direct(self._connect())
        limits, retention = self._limits, self._retention
        spool = RedisSpool(server, self.namespace, limits=limits, retention=retention, parts=PARTS, clock_age=-1)
        made: Spool = self._around(spool)
        return made


class BySteps:
    """A spool whose `mark` and `done` are said as the steps of a worker are."""

    def __init__(self, spool: RedisSpool) -> None:
        self._spool = spool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._spool, name)

    def mark(self, leased: Leased, lease: float) -> bool:
        return self._spool.step(None, leased, lease).answer()[1]

    def done(self, leased: Leased, outcomes: Mapping[str, Outcome]) -> bool:
        return self._spool.step((leased, outcomes), None, 60.0).answer()[0]


def opened_by(connect: Callable[[], Any], **more: Any) -> OpenHarness:
    def opened(*, limits: Mapping[str, Limits] = {}, retention: float = 7 * 86_400) -> RedisHarness:
        return RedisHarness(connect, limits, retention, **more)

    return opened


class TestRedisSpoolOnFakeRedis(SpoolConformance):
    @pytest.fixture
    def open_harness(self) -> OpenHarness:
        server = fakeredis.FakeServer()
        return opened_by(lambda: fakeredis.FakeStrictRedis(server=server))


@pytest.fixture(scope="module")
def redis_server() -> Iterator[processes.RedisServer]:
    with processes.RedisServer() as server:
        yield server


@pytest.mark.integration
class TestRedisSpoolOnRedis(SpoolConformance):
    @pytest.fixture
    def open_harness(self, redis_server: processes.RedisServer) -> OpenHarness:
        return opened_by(lambda: redis.Redis(port=redis_server.port))


@pytest.mark.integration
class TestRedisSpoolOnRedisBySteps(SpoolConformance):
    @pytest.fixture
    def open_harness(self, redis_server: processes.RedisServer) -> OpenHarness:
        return opened_by(lambda: redis.Redis(port=redis_server.port), around=BySteps)
