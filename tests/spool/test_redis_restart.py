"""A Redis that forgets the scripts, or is started again with its data: the spool works on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from mailworker.spool.record import Content, State
from mailworker.spool.redis import RedisSpool
from tests import processes
from tests.direct import Direct
from tests.spool.harness import (
    LEASE,
    accepted,
    claim,
    claim_one,
    deferred,
    ids,
    in_doubt,
    new_mail,
    put,
    rejected,
    state,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def redis_server() -> Iterator[processes.RedisServer]:
    with processes.RedisServer() as server:
        yield server


class Flushing(Direct):
    """A client through which the scripts are flushed before each command and each pipeline."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(client)
        self.flushes = self.pipelines = 0

    def run(self, call: Any) -> Any:
        return call(_Flushed(self))


class _Flushed:
    def __init__(self, server: Flushing) -> None:
        self._server = server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server.client, name)

    def evalsha(self, *words: Any) -> Any:
        self._server.client.script_flush()
        self._server.flushes += 1
        return self._server.client.evalsha(*words)

    def pipeline(self, transaction: bool = True) -> Any:
        # Every second one: it is sent again once the server has been given the script.
        self._server.pipelines += 1
        if self._server.pipelines % 2:
            self._server.client.script_flush()
        return self._server.client.pipeline(transaction=transaction)


def test_every_call_works_on_a_server_that_has_just_forgotten_the_scripts(redis_server):
    server = Flushing(redis.Redis(port=redis_server.port))
    spool = RedisSpool(server, "flushed")
    put(spool, 3, contents=(Content("c1", b"large"),))
    first, second, third = claim(spool)
    assert spool.mark(first, LEASE)
    assert spool.renew(first, LEASE)
    assert spool.done(first, accepted("a@a.org"))
    assert spool.bury(second, rejected("a@a.org"), "no")
    assert spool.hold(third, {}, "wait")
    assert spool.replay(second.mail.id)
    assert spool.cancel(third.mail.id)
    spool.pause("relay")
    spool.resume("relay")
    assert spool.stats().counts
    assert server.flushes > 10


def test_a_pipeline_is_finished_although_the_scripts_are_flushed_in_its_middle(redis_server):
    client = redis.Redis(port=redis_server.port)
    spool = RedisSpool(_FlushOnce(client), "flushed")
    mails = [new_mail(spool, contents=(Content("c1", b"large"),)) for _ in range(60)]
    assert spool.put(mails) == [True] * 60
    assert spool.ids(State.DUE) == ids(mails)
    assert client.hget("{flushed}:content:c1", "mails") == b"60"


class _FlushOnce(Direct):
    """Each pipeline of evalsha is cut by a SCRIPT FLUSH after a third of it, three times."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(client)
        self.cuts = 3

    def run(self, call: Any) -> Any:
        return call(_Cut(self))


class _Cut:
    def __init__(self, server: _FlushOnce) -> None:
        self._server = server

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server.client, name)

    def pipeline(self, transaction: bool = True) -> Any:
        pipeline = self._server.client.pipeline(transaction=transaction)
        execute = pipeline.execute

        def cut(raise_on_error: bool = True) -> Any:
            if self._server.cuts == 0 or len(pipeline.command_stack) < 3:
                return execute(raise_on_error=raise_on_error)
            self._server.cuts -= 1
            rest = pipeline.command_stack[len(pipeline.command_stack) // 3 :]
            del pipeline.command_stack[len(pipeline.command_stack) // 3 :]
            answers = execute(raise_on_error=raise_on_error)
            self._server.client.script_flush()
            pipeline.command_stack = rest
            return answers + execute(raise_on_error=raise_on_error)

        pipeline.execute = cut
        return pipeline


def test_a_server_that_was_killed_and_started_again_has_every_mail_as_it_was(tmp_path):
    with processes.DurableRedis(tmp_path) as durable:
        # The connection of before is broken; that a further one is made is not what is tested here.
        client = redis.Redis(port=durable.port, retry=Retry(NoBackoff(), 1), retry_on_error=[redis.ConnectionError])
        spool = RedisSpool(Direct(client), "kept")
        sent, dead, held, doubtful, leased, due = put(spool, 6, contents=(Content("c1", b"large"),), group="news")
        first, second, third, fourth = claim(spool, 4)
        assert spool.mark(first, LEASE)
        assert spool.done(first, accepted("a@a.org"))
        assert spool.bury(second, rejected("a@a.org"), "no")
        assert spool.hold(third, in_doubt("a@a.org"), "wait")
        assert spool.defer(fourth, spool.now() + 1000, {**accepted("a@a.org"), **deferred("b@b.org")}, resend=True)
        mine = claim_one(spool)
        assert spool.mark(mine, LEASE)
        spool.pause("other", "lunch")
        before = {mail.id: (spool.status(mail.id), spool.get(mail.id)) for mail in (sent, dead, held, doubtful, due)}
        counts = spool.stats().counts
        durable.kill()
        durable.start_again()
        assert {mail_id: (spool.status(mail_id), spool.get(mail_id)) for mail_id in before} == before
        assert spool.stats().counts == counts
        assert spool.mailer_state("other").paused_by_person
        assert spool.done(mine, accepted("a@a.org"))
        assert state(spool, leased) is State.SENT
        assert claim_one(spool).mail.contents == (Content("c1", b"large"),)
