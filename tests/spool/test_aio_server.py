"""The way to the spool's Redis on an event loop: what it finds, what breaks on it, and what a cancellation leaves."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis
from redis.exceptions import RedisError

from mailworker.deadline import within
from mailworker.errors import ConfigurationError
from mailworker.spool.aio.server import AsyncServer
from mailworker.spool.base import SpoolUnavailable
from mailworker.spool.calls import Command, Say
from tests.drip import Drip
from tests.loop import cancelled_at
from tests.processes import Process, free_port
from tests.proxy import Proxy
from tests.spool.servers import Cluster, Redis, SentinelSet, TlsRedis, until

pytestmark = pytest.mark.integration

T = TypeVar("T")

KEY = "{shop}:"

#: Seconds: more than an honest answer ever takes, so that what it ends is broken.
LONG = 30.0

#: Seconds: what a test waits for a server that does not answer.
SHORT = 0.3


@pytest.fixture(scope="module")
def shared() -> Iterator[Redis]:
    with Redis() as server:
        yield server


@pytest.fixture
def plain(shared: Redis) -> Iterator[Redis]:
    with shared.client() as client:
        client.flushall()
        client.config_resetstat()
    yield shared
    with shared.client() as client:
        client.config_set("maxmemory", "0")
        client.replicaof("NO", "ONE")


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsRedis]:
    with TlsRedis(tmp_path_factory.mktemp("tls")) as server:
        yield server


@asynccontextmanager
async def reached(url: str, patience: float = LONG, **options: Any) -> AsyncIterator[AsyncServer]:
    server = AsyncServer(url, patience, slot_key=KEY, **options)
    try:
        yield server
    finally:
        server.close()
        # What was aborted is closed in the loop's next round.
        await asyncio.sleep(0)


def says(*words: Any) -> Callable[[Say], Awaitable[Any]]:
    """Return a call that says one command."""

    async def call(say: Say) -> Any:
        [answer] = await say([words])
        if isinstance(answer, RedisError):
            raise answer
        return answer

    return call


STORE = says("SET", f"{KEY}a", b"\xff")


async def unavailable(server: AsyncServer, call: Callable[[Say], Awaitable[Any]]) -> SpoolUnavailable:
    with pytest.raises(SpoolUnavailable) as caught:
        await server.run(call)
    # Neither the text nor what a logged traceback would show repeats what others said.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value


async def port_of(server: AsyncServer) -> int:
    """Return where the server listens: by a command without a key."""
    info = await server.run(says("INFO", "server"))
    return int(info.split(b"tcp_port:")[1].split(b"\r\n")[0])


def on_loop(scene: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return asyncio.run(scene())


def test_calls_one_after_another_go_over_one_connection_that_says_its_name(plain: Redis) -> None:
    async def scene() -> tuple[Any, set[Any]]:
        async with reached(plain.url) as server:
            await server.run(STORE)
            ids = {await server.run(says("CLIENT", "ID")) for _ in range(5)}
            return await server.run(says("GET", f"{KEY}a")), ids

    with plain.client() as client:
        client.ping()
        client.config_resetstat()
        answer, ids = on_loop(scene)
        assert answer == b"\xff"
        assert len(ids) == 1
        calls = {name.removeprefix("cmdstat_"): told["calls"] for name, told in client.info("commandstats").items()}
    assert calls["hello"] == 1
    assert not {"client|setinfo", "client|setname", "cluster|slots", "ping", "select"} & calls.keys()


def test_no_more_connections_than_places_are_opened_for_any_number_of_tasks(plain: Redis) -> None:
    async def scene() -> tuple[list[Any], set[Any]]:
        async with reached(plain.url, most=3) as server:
            echoes = await asyncio.gather(*(server.run(says("ECHO", str(n))) for n in range(50)))
            ids = await asyncio.gather(*(server.run(says("CLIENT", "ID")) for _ in range(50)))
            return echoes, set(ids)

    echoes, ids = on_loop(scene)
    assert echoes == [str(n).encode() for n in range(50)]
    assert 1 <= len(ids) <= 3


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_what_is_large_comes_as_it_was_sent(request: pytest.FixtureRequest, kind: str) -> None:
    url = request.getfixturevalue(kind).url

    async def scene() -> None:
        async with reached(url) as server:
            for size in (0, 65535, 65536, 3_000_001):
                content = os.urandom(size)
                commands: list[Command] = [("SET", f"{KEY}c", content), ("GET", f"{KEY}c"), ("ECHO", "end")]

                async def call(say: Say, commands: list[Command] = commands) -> list[Any]:
                    return await say(commands)

                assert await server.run(call) == [b"OK", content, b"end"]

    on_loop(scene)


def test_tls_with_user_and_password_is_spoken_and_a_wrong_authority_is_not_trusted(tls: TlsRedis) -> None:
    async def scene() -> str:
        async with reached(tls.url) as server:
            assert await server.run(STORE) == b"OK"
        async with reached(tls.url.partition("?")[0]) as server:
            return str(await unavailable(server, STORE))

    assert on_loop(scene) == "its certificate cannot be verified"


def test_a_unix_socket_and_the_database_of_the_url_are_spoken_to(tmp_path: Path) -> None:
    path = tmp_path / "r.sock"

    async def scene() -> list[Any]:
        async with reached(f"unix://{path}?db=2") as server:
            await server.run(STORE)
        found = []
        for database in (2, 0):
            async with reached(f"unix://{path}?db={database}") as server:
                found.append(await server.run(says("DBSIZE")))
        return found

    with Redis("--unixsocket", str(path)):
        assert on_loop(scene) == [1, 0]


def test_a_url_that_cannot_be_read_is_refused_without_its_secret() -> None:
    async def scene() -> None:
        AsyncServer("redis://:hunter2/@h", 1.0, slot_key=KEY)

    with pytest.raises(ConfigurationError, match=r"^The URL of the spool (?!.*hunter2)"):
        on_loop(scene)


def test_a_refusal_has_done_nothing_and_leaves_its_connection_in_use(plain: Redis) -> None:
    async def scene() -> None:
        async with reached(f"redis://:secret@127.0.0.1:{free_port()}/0") as server:
            error = await unavailable(server, STORE)
            assert (str(error), error.maybe_done) == ("connection refused", False)
        async with reached(plain.url) as server:
            before = await server.run(says("CLIENT", "ID"))
            await server.run(says("CONFIG", "SET", "maxmemory", "1"))
            error = await unavailable(server, STORE)
            assert (str(error), error.maybe_done) == ("it is out of memory", False)
            assert await server.run(says("CLIENT", "ID")) == before

    on_loop(scene)


def test_one_that_has_as_many_clients_as_it_takes_says_so_and_has_done_nothing(plain: Redis) -> None:
    async def scene() -> None:
        async with reached(plain.url) as open_one, reached(plain.url) as server:
            clients = await open_one.run(says("CLIENT", "LIST"))
            await open_one.run(says("CONFIG", "SET", "maxclients", str(len(clients.splitlines()))))
            try:
                error = await unavailable(server, STORE)
            finally:
                await open_one.run(says("CONFIG", "SET", "maxclients", "10000"))
            assert (str(error), error.maybe_done) == ("it has as many clients as it takes (its maxclients)", False)
            assert await server.run(STORE) == b"OK"

    on_loop(scene)


def test_what_was_answered_before_a_refusal_may_have_been_done(plain: Redis) -> None:
    async def two(say: Say) -> None:
        await say([("SET", f"{KEY}a", 1)])
        await says("EVALSHA", "e" * 40, 0)(say)

    async def loaded(say: Say) -> None:
        # To load a script changes no key.
        await say([("SCRIPT", "LOAD", "return 1")])
        await says("EVALSHA", "e" * 40, 0)(say)

    async def scene() -> list[bool]:
        async with reached(plain.url) as server:
            return [(await unavailable(server, call)).maybe_done for call in (two, loaded)]

    assert on_loop(scene) == [True, False]


def test_one_that_takes_no_writes_any_more_is_found_anew_and_asked_once_more(plain: Redis) -> None:
    calls: list[int] = []

    async def call(say: Say) -> Any:
        calls.append(1)
        if len(calls) == 2:
            with plain.client() as other:
                other.replicaof("NO", "ONE")
        return await STORE(say)

    async def scene() -> Any:
        async with reached(plain.url) as server:
            await server.run(STORE)
            with plain.client() as client:
                client.replicaof("127.0.0.1", str(free_port()))
            return await server.run(call)

    assert on_loop(scene) == b"OK"
    assert len(calls) == 2


def test_one_that_hangs_costs_its_callers_the_deadline_and_only_those_that_spoke_are_in_doubt(plain: Redis) -> None:
    async def scene(proxy: Proxy) -> list[tuple[str, bool]]:
        url = f"redis://127.0.0.1:{proxy.port}/0"
        async with reached(url, SHORT, most=2) as server:
            await asyncio.gather(*(server.run(STORE) for _ in range(2)))
            proxy.freeze()
            errors = await asyncio.gather(*(server.run(STORE) for _ in range(5)), return_exceptions=True)
            proxy.thaw()
            assert await server.run(STORE) == b"OK"
        assert all(isinstance(error, SpoolUnavailable) for error in errors)
        return [(str(error), error.maybe_done) for error in errors if isinstance(error, SpoolUnavailable)]

    with Proxy(plain.port) as proxy:
        told = asyncio.run(scene(proxy))
    assert {text for text, _ in told} == {"it does not answer"}
    assert sorted(in_doubt for _, in_doubt in told) == [False, False, False, True, True]


@pytest.mark.parametrize("first", [b"$1000\r\n", b""])
def test_one_that_drips_its_answer_keeps_no_caller_longer_than_the_callers_own_deadline(first: bytes) -> None:
    drip = Drip(None, first)

    async def scene() -> SpoolUnavailable:
        async with reached(f"redis://127.0.0.1:{drip.port}/0", 600.0) as server:
            with within(SHORT):
                return await unavailable(server, STORE)

    try:
        assert on_loop(scene).maybe_done is False
    finally:
        drip.close()


def test_a_connection_that_was_closed_while_it_was_idle_is_not_used_again(plain: Redis) -> None:
    async def scene() -> None:
        async with reached(plain.url) as server:
            for _ in range(3):
                before = await server.run(says("CLIENT", "ID"))
                with plain.client() as client:
                    # In this thread: the loop has had no round in which it could hear of it.
                    assert client.client_kill_filter(_id=before) == 1
                assert await server.run(says("CLIENT", "ID")) != before

    on_loop(scene)


def test_a_connection_that_was_idle_for_long_is_not_used_again(plain: Redis) -> None:
    now = [0.0]

    async def scene() -> set[Any]:
        async with reached(plain.url, clock=lambda: now[0]) as server:
            ids = {await server.run(says("CLIENT", "ID"))}
            now[0] = 31.0
            return ids | {await server.run(says("CLIENT", "ID"))}

    assert len(on_loop(scene)) == 2


def test_a_call_that_is_cancelled_at_any_await_leaves_no_answer_for_the_next_one(plain: Redis) -> None:
    async def echoes(server: AsyncServer) -> list[Any]:
        # More than there are connections: a late answer would be the first that one of these gets.
        return await asyncio.gather(*(server.run(says("ECHO", str(n))) for n in range(4)))

    async def scene(proxy: Proxy, *, is_open: bool) -> int:
        url = f"redis://127.0.0.1:{proxy.port}/0"
        for place in count():
            async with reached(url, most=2) as server:
                if is_open:
                    await echoes(server)
                task = asyncio.ensure_future(cancelled_at(place, server.run(says("ECHO", "late"))))
                await asyncio.wait([task])
                assert await echoes(server) == [b"0", b"1", b"2", b"3"]
            if not task.cancelled():
                assert task.result() == b"late"
                return place
        raise AssertionError("a call ends")

    with Proxy(plain.port) as proxy:
        # Held back, so that an answer comes after the call that it was for.
        proxy.lag(0.002)
        assert asyncio.run(scene(proxy, is_open=True)) >= 1
        assert asyncio.run(scene(proxy, is_open=False)) >= 3


def test_an_error_of_the_callers_own_passes_and_its_connection_is_not_used_again(plain: Redis) -> None:
    async def broken(say: Say) -> None:
        await say([("CLIENT", "SETNAME", "broken")])
        raise KeyError("mine")

    async def scene() -> Any:
        async with reached(plain.url) as server:
            with pytest.raises(KeyError, match="mine"):
                await server.run(broken)
            return await server.run(says("CLIENT", "GETNAME"))

    assert on_loop(scene) == b"mailworker"


def test_closing_closes_what_is_idle_at_once_and_the_rest_when_its_call_ends(plain: Redis) -> None:
    async def scene() -> None:
        async with reached(plain.url) as server:
            await server.run(STORE)
            going = asyncio.ensure_future(server.run(says("BLPOP", f"{KEY}list", "0")))
            await asyncio.to_thread(until, lambda: _clients(plain, cmd="blpop"))
            server.close()
            with plain.client() as client:
                client.rpush(f"{KEY}list", "x")
            assert await going == [f"{KEY}list".encode(), b"x"]
            await asyncio.sleep(0)
            await asyncio.to_thread(until, lambda: not _clients(plain))

    on_loop(scene)


def _clients(server: Redis, **like: str) -> list[Any]:
    with server.client() as client:
        found = [one for one in client.client_list() if one["name"] == "mailworker"]
    return [one for one in found if all(one[name] == value for name, value in like.items())]


def test_sentinels_lead_to_the_primary_and_to_its_heir() -> None:
    async def scene(servers: SentinelSet) -> None:
        async with reached(servers.url) as server:
            assert await port_of(server) == servers.primary.port
            servers.kill_primary()
            assert await port_of(server) == servers.replica.port
            assert await server.run(STORE) == b"OK"

    with SentinelSet(2, "sentinels-pw") as servers:
        servers.sentinels[0].signal(signal.SIGSTOP)
        try:

            async def silent() -> int:
                async with reached(servers.url, 2.0) as server:
                    return await port_of(server)

            assert on_loop(silent) == servers.primary.port
        finally:
            servers.sentinels[0].signal(signal.SIGCONT)

        async def refused() -> str:
            async with reached(servers.url.replace("sentinels-pw", "hunter2")) as server:
                return str(await unavailable(server, STORE))

        assert on_loop(refused) == "it refuses user or password (its Sentinel)"
        asyncio.run(scene(servers))


def test_in_a_cluster_the_holder_of_the_slot_is_found_and_followed() -> None:
    async def scene(cluster: Cluster) -> None:
        async with reached(cluster.url) as server:
            assert await port_of(server) == cluster.holder.port
            await server.run(STORE)
            target = cluster.others[1]
            cluster.begin_to_move_slot_to(target)
            assert await server.run(says("GET", f"{KEY}a")) == b"\xff"
            assert await server.run(says("SET", f"{KEY}b", "new")) == b"OK"

            async def several(say: Say) -> list[Any]:
                answers = await say([("GET", f"{KEY}b"), ("GET", f"{KEY}b")])
                for answer in answers:
                    if isinstance(answer, RedisError):
                        raise answer
                return answers

            # On their way: here each command of several is led there.
            assert await server.run(several) == [b"new", b"new"]
            await server.run(says("DEL", f"{KEY}a"))
            cluster.give_slot_to(target)
            assert await server.run(says("GET", f"{KEY}b")) == b"new"
            assert await port_of(server) == target.port

    with Cluster(KEY) as cluster:
        asyncio.run(scene(cluster))


def test_a_forked_child_leaves_its_parents_connections_alone(plain: Redis) -> None:
    code = f"""
import asyncio, os
from mailworker.spool.aio.server import AsyncServer

async def ask(say):
    return (await say([("CLIENT", "ID")]))[0]

async def child(server):
    return await server.run(ask)

async def main():
    server = AsyncServer({plain.url!r}, 10.0, slot_key="{{k}}")
    before = await server.run(ask)
    pid = os.fork()
    if not pid:
        server.close()
        os._exit(0)
    os.waitpid(pid, 0)
    print("same" if await server.run(ask) == before else "another", flush=True)
    server.close()
    await asyncio.sleep(0)

asyncio.run(main())
"""
    with Process([sys.executable, "-W", "error", "-c", code]) as process:
        assert process.wait() == 0, process.output
        assert process.output == "same\n"


def test_redis_py_knows_what_the_lines_need(plain: Redis) -> None:
    """Its private names that `spool.aio.line` uses, where another version may lack them."""

    async def scene() -> None:
        connection = redis.asyncio.connection.Connection(host="127.0.0.1", port=plain.port, protocol=2)
        await connection.connect()
        assert connection._reader is not None
        assert connection._writer is not None
        assert not connection._reader._buffer  # type: ignore[attr-defined]
        assert not connection._parser._reader.has_data()  # type: ignore[attr-defined]
        await connection.disconnect()

    on_loop(scene)


@pytest.mark.parametrize("name", ["can_read", "can_read_destructive"])
def test_a_connection_is_used_again_whichever_way_redis_py_has_to_look_at_it(
    plain: Redis, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """From 6.4 to 8 they are named otherwise in turns."""
    monkeypatch.delattr(redis.asyncio.connection.AbstractConnection, name, raising=False)

    async def scene() -> None:
        async with reached(plain.url) as server:
            first = await server.run(says("CLIENT", "ID"))
            assert await server.run(says("CLIENT", "ID")) == first
            # What nobody has asked for is no answer to the next one.
            server._idle[0]._connection._reader.feed_data(b"+late\r\n")
            assert await server.run(says("ECHO", "mine")) == b"mine"
            assert await server.run(says("CLIENT", "ID")) != first

    on_loop(scene)
