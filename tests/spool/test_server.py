"""The way to the spool's Redis: plain, TLS, a Unix socket, Sentinels, a cluster; what breaks on it, and what that means."""

from __future__ import annotations

import contextlib
import gc
import signal
import socket
import sys
import threading
import traceback
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from mailworker.deadline import left, within
from mailworker.errors import ConfigurationError
from mailworker.spool.base import SpoolUnavailable
from mailworker.spool.server import Server
from tests.drip import Drip
from tests.processes import Process, free_port
from tests.spool.servers import Cluster, Redis, SentinelSet, TlsRedis, until

pytestmark = pytest.mark.integration

KEY = "{shop}:"

#: Seconds: more than an honest answer ever takes, so that what it ends is broken.
LONG = 30.0

#: Seconds: longer than a test may take, so that what it should not be waited for ends it as a failure.
FOREVER = 600.0

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


@pytest.fixture
def own() -> Iterator[Redis]:
    with Redis() as server:
        yield server


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsRedis]:
    with TlsRedis(tmp_path_factory.mktemp("tls")) as server:
        yield server


@pytest.fixture(scope="module")
def watched() -> Iterator[SentinelSet]:
    with SentinelSet(2, "sentinels-pw") as servers:
        yield servers


@pytest.fixture
def reach() -> Iterator[Callable[..., Server]]:
    made: list[Server] = []

    def make(url: str, timeout: float = LONG, **options: Any) -> Server:
        made.append(Server(url, timeout, slot_key=KEY, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


Reach = Callable[..., Server]


def unavailable(server: Server, call: Callable[[redis.Redis], Any]) -> SpoolUnavailable:
    with pytest.raises(SpoolUnavailable) as caught:
        server.run(call)
    # Neither the text nor what a logged traceback would show repeats what others said.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None
    return caught.value


def store(client: redis.Redis) -> Any:
    return client.set(f"{KEY}a", b"\xff")


def port_of(client: redis.Redis) -> int:
    """Return where the client's server listens: a command without a key."""
    return int(client.info("server")["tcp_port"])


class TestPlain:
    def test_a_call_gets_a_client_and_its_answer_comes_back(self, plain: Redis, reach: Reach) -> None:
        server = reach(plain.url)
        assert server.run(store) is True
        assert server.run(lambda client: client.get(f"{KEY}a")) == b"\xff"

    def test_nothing_is_connected_to_before_the_first_call(self, reach: Reach) -> None:
        assert reach(f"redis://:secret@127.0.0.1:{free_port()}/0").url_shown.startswith(
            "redis://:**********@127.0.0.1:"
        )

    def test_a_connection_says_its_name_and_no_more(self, plain: Redis, reach: Reach) -> None:
        server = reach(plain.url)
        for _ in range(3):
            server.run(store)
        stats, errors, clients = server.run(
            lambda client: (client.info("commandstats"), client.info("errorstats"), client.client_list())
        )
        calls = {name: told["calls"] for name, told in stats.items()}
        named = [one for one in clients if one["name"] == "mailworker"]
        # A command that an older server does not know leaves an error only.
        assert errors == {}
        assert {name: calls.get(f"cmdstat_{name}") for name in ("set", "hello")} == {
            "set": 3,
            "hello": 1,
        }
        assert (
            not {
                "cmdstat_client|setinfo",
                "cmdstat_client|setname",
                "cmdstat_cluster|slots",
                "cmdstat_ping",
                "cmdstat_select",
            }
            & calls.keys()
        )
        assert len(named) == 1

    def test_all_commands_of_a_call_go_over_one_connection(self, plain: Redis, reach: Reach) -> None:
        def ids(client: redis.Redis) -> set[int]:
            pipeline = client.pipeline(transaction=False)
            pipeline.client_id()
            return {client.client_id(), *pipeline.execute(), client.client_id()}

        assert len(reach(plain.url).run(ids)) == 1

    @pytest.mark.parametrize("kind", ["plain", "tls"])
    def test_a_content_comes_as_it_is_however_large_it_is(
        self, request: pytest.FixtureRequest, kind: str, reach: Reach
    ) -> None:
        server = reach(request.getfixturevalue(kind).url)
        for size in (0, 1, 65536, 3_000_001):
            content = (b"\r\n$-1\r\n" * (size // 7 + 1))[:size]

            def both(client: redis.Redis, content: bytes = content) -> tuple[Any, ...]:
                client.hset(f"{KEY}h", "bytes", content)
                return (
                    client.hget(f"{KEY}h", "bytes"),
                    client.hget(f"{KEY}h", "none"),
                    client.hget(f"{KEY}none", "bytes"),
                )

            assert server.run(both) == (content, None, None)

    def test_what_is_no_content_is_refused_as_redis_py_does_and_the_connection_goes_on(
        self, plain: Redis, reach: Reach
    ) -> None:
        def wrong(client: redis.Redis) -> tuple[str, Any]:
            client.set(f"{KEY}a", 1)
            with pytest.raises(redis.ResponseError) as caught:
                client.hget(f"{KEY}a", "bytes")
            return str(caught.value)[:9], client.get(f"{KEY}a")

        assert reach(plain.url).run(wrong) == ("WRONGTYPE", b"1")

    def test_a_unix_socket_is_spoken_to(self, tmp_path: Path, reach: Reach) -> None:
        path = tmp_path / "r.sock"
        with Redis("--unixsocket", str(path)):
            assert reach(f"unix://{path}?db=2").run(store) is True
            assert reach(f"redis+socket://{path}?virtual_host=2").run(lambda client: client.get(f"{KEY}a")) == b"\xff"

    def test_the_database_of_the_url_is_the_one(self, plain: Redis, reach: Reach) -> None:
        reach(plain.url[:-1] + "7").run(store)
        assert reach(plain.url[:-1] + "7").run(lambda client: client.dbsize()) == 1
        assert reach(plain.url).run(lambda client: client.dbsize()) == 0
        error = unavailable(reach(plain.url[:-1] + "99"), store)
        assert (str(error), error.maybe_done) == (
            "it refuses what the URL asks for, such as a database that it has not",
            False,
        )

    def test_a_user_that_may_do_nothing_but_read_and_write_is_served(self, plain: Redis, reach: Reach) -> None:
        with plain.client() as client:
            client.execute_command("ACL", "SETUSER", "small", "on", ">pw", f"~{KEY}*", "+get", "+set")
        server = reach(f"redis://small:pw@127.0.0.1:{plain.port}/0")
        assert server.run(store) is True
        error = unavailable(server, lambda client: client.delete(f"{KEY}a"))
        assert (str(error), error.maybe_done) == ("its user may not do that", False)

    def test_several_hosts_that_are_no_cluster_are_refused(self, plain: Redis, reach: Reach) -> None:
        error = unavailable(reach(f"redis://127.0.0.1:{free_port()},127.0.0.1:{plain.port}"), store)
        assert "only the nodes of a Redis Cluster" in str(error)
        assert not error.maybe_done

    def test_a_url_that_cannot_be_read_is_refused_without_its_secret(self) -> None:
        for url in ("redis://:hunter2/@h", "hunter2", "http://:hunter2@h"):
            with pytest.raises(ConfigurationError, match=r"^The URL of the spool (?!.*hunter2)") as caught:
                Server(url, 1.0, slot_key=KEY)
            assert "hunter2" not in "".join(traceback.format_exception(caught.value)).replace(repr(url), "")


class TestRefusal:
    def test_where_nobody_listens_nothing_was_done(self, reach: Reach) -> None:
        error = unavailable(reach(f"redis://:secret@127.0.0.1:{free_port()}/0"), store)
        assert (str(error), error.maybe_done) == ("connection refused", False)

    def test_a_server_without_memory_has_done_nothing(self, plain: Redis, reach: Reach) -> None:
        server = reach(plain.url)
        with plain.client() as client:
            client.config_set("maxmemory", "1")
        for call in (store, lambda client: client.eval("return redis.call('SET', KEYS[1], 1)", 1, KEY)):
            error = unavailable(server, call)
            assert (str(error), error.maybe_done) == ("it is out of memory", False)

    def test_what_was_answered_before_a_refusal_may_have_been_done(self, plain: Redis, reach: Reach) -> None:
        def two(client: redis.Redis) -> None:
            client.set(f"{KEY}a", 1)
            client.config_set("maxmemory", "1")
            client.set(f"{KEY}b", 1)

        assert unavailable(reach(plain.url), two).maybe_done

    def test_of_commands_sent_together_some_may_have_been_done(self, plain: Redis, reach: Reach) -> None:
        def many(client: redis.Redis) -> None:
            pipeline = client.pipeline(transaction=False)
            pipeline.set(f"{KEY}a", 1)
            pipeline.config_set("maxmemory", "1")
            pipeline.set(f"{KEY}b", 1)
            pipeline.execute()

        assert unavailable(reach(plain.url), many).maybe_done

    def test_a_script_that_was_only_loaded_has_done_nothing(self, plain: Redis, reach: Reach) -> None:
        def load(client: redis.Redis) -> None:
            sha = client.script_load("return redis.call('SET', KEYS[1], 1)")
            client.evalsha(str(sha), 1, KEY)

        server = reach(plain.url)
        with plain.client() as client:
            client.config_set("maxmemory", "1")
        error = unavailable(server, load)
        assert (str(error), error.maybe_done) == ("it is out of memory", False)

    def test_one_that_takes_no_writes_is_tried_once_more_and_has_done_nothing(self, plain: Redis, reach: Reach) -> None:
        calls: list[int] = []

        def refused(client: redis.Redis) -> Any:
            calls.append(0)
            return store(client)

        server = reach(plain.url)
        server.run(store)
        with plain.client() as client:
            client.replicaof("127.0.0.1", str(free_port()))
        error = unavailable(server, refused)
        assert (str(error), error.maybe_done, calls) == ("it takes no writes", False, [0, 0])

    def test_after_a_refusal_to_write_the_primary_is_found_anew(self, plain: Redis, reach: Reach) -> None:
        calls: list[int] = []

        def call(client: redis.Redis) -> Any:
            calls.append(1)
            if len(calls) == 2:
                with plain.client() as other:
                    other.replicaof("NO", "ONE")
            return store(client)

        server = reach(plain.url)
        server.run(store)
        with plain.client() as client:
            client.replicaof("127.0.0.1", str(free_port()))
        assert server.run(call) is True
        assert len(calls) == 2

    def test_an_error_of_a_script_is_told_by_its_line_alone(self, plain: Redis, reach: Reach) -> None:
        script = "local a = 1\nreturn redis.call('LPUSH', KEYS[1], ARGV[1]) + nil"
        error = unavailable(reach(plain.url), lambda client: client.eval(script, 1, KEY, "jane@example.com"))
        assert (str(error), error.maybe_done) == ("it answers with an error in line 2 of a script", True)

    def test_an_error_of_a_command_is_told_by_its_code_alone(self, plain: Redis, reach: Reach) -> None:
        def wrong(client: redis.Redis) -> None:
            client.execute_command("SECRET", "jane@example.com")

        def other(client: redis.Redis) -> None:
            pipeline = client.pipeline(transaction=False)
            pipeline.lpush(f"{KEY}a", "jane@example.com")
            pipeline.execute()

        server = reach(plain.url)
        server.run(store)
        assert str(unavailable(server, wrong)) == "it answers with an error"
        error = unavailable(server, other)
        assert "jane" not in str(error)
        assert error.maybe_done

    def test_an_error_of_the_callers_own_passes_and_its_connection_is_not_used_again(
        self, plain: Redis, reach: Reach
    ) -> None:
        ids: list[int] = []

        def broken(client: redis.Redis) -> None:
            ids.append(client.client_id())
            raise KeyError("mine")

        server = reach(plain.url)
        with pytest.raises(KeyError, match="mine"):
            server.run(broken)
        assert server.run(lambda client: client.client_id()) not in ids


class TestTls:
    def test_tls_with_user_and_password_is_spoken(self, tls: TlsRedis, reach: Reach) -> None:
        server = reach(tls.url)
        assert server.run(store) is True
        assert server.run(lambda client: client.acl_whoami()) in ("mail", b"mail")
        assert "p%40ss" not in server.url_shown

    def test_a_certificate_of_an_unknown_authority_is_not_trusted(self, tls: TlsRedis, reach: Reach) -> None:
        url = f"rediss://{tls.login}@localhost:{tls.port}/0"
        error = unavailable(reach(url), store)
        assert (str(error), error.maybe_done) == ("its certificate cannot be verified", False)
        assert reach(f"{url}?ssl_cert_reqs=none").run(store) is True

    @pytest.mark.parametrize("login", ["mail:hunter2@", "", ":hunter2@"])
    def test_a_wrong_login_is_refused_without_a_word_of_it(self, tls: TlsRedis, reach: Reach, login: str) -> None:
        url = f"rediss://{login}localhost:{tls.port}/0?ssl_ca_certs={tls.authority}"
        error = unavailable(reach(url), store)
        assert (str(error), error.maybe_done) == ("it refuses user or password", False)

    def test_plain_text_is_no_way_in(self, tls: TlsRedis, reach: Reach) -> None:
        error = unavailable(reach(f"redis://localhost:{tls.port}/0"), store)
        assert (str(error), error.maybe_done) == ("it closed the connection", False)


class TestDeadline:
    def test_a_call_whose_time_is_over_is_not_made(self, plain: Redis, reach: Reach) -> None:
        server = reach(plain.url)
        with within(0):
            error = unavailable(server, lambda client: pytest.fail("it was made"))
        assert (str(error), error.maybe_done) == ("it does not answer", False)

    def test_what_would_be_said_after_the_deadline_is_not_said(self, plain: Redis, reach: Reach) -> None:
        def late(client: redis.Redis) -> Any:
            with within(0):
                return store(client)

        server = reach(plain.url)
        assert not unavailable(server, late).maybe_done
        assert server.run(lambda client: client.dbsize()) == 0

    def test_a_server_that_hangs_while_it_works_may_have_done_it(self, own: Redis, reach: Reach) -> None:
        server = reach(own.url, SHORT)
        server.run(store)
        own.signal(signal.SIGSTOP)
        error = unavailable(server, store)
        assert (str(error), error.maybe_done) == ("it does not answer", True)
        # From then on there is no connection to it, and so nothing can have been done.
        error = unavailable(server, store)
        assert (str(error), error.maybe_done) == ("it does not answer", False)
        own.signal(signal.SIGCONT)
        assert server.run(store) is True

    def test_the_callers_deadline_ends_before_the_servers_own(self, own: Redis, reach: Reach) -> None:
        server = reach(own.url, FOREVER)
        server.run(store)
        own.signal(signal.SIGSTOP)
        for maybe_done in (True, False):
            with within(SHORT):
                assert unavailable(server, store).maybe_done is maybe_done
                assert left() <= 0
        own.signal(signal.SIGCONT)

    def test_a_tls_handshake_that_is_not_answered_is_left_at_the_callers_deadline(self, reach: Reach) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent, within(SHORT):
            error = unavailable(reach(f"rediss://127.0.0.1:{silent.getsockname()[1]}", FOREVER), store)
        assert (str(error), error.maybe_done) == ("it does not answer", False)

    def test_one_that_drips_is_left_at_the_deadline(self, reach: Reach) -> None:
        drip = Drip(None, b"+")
        with contextlib.closing(drip):
            error = unavailable(reach(f"redis://127.0.0.1:{drip.port}", SHORT), store)
        assert (str(error), error.maybe_done) == ("it does not answer", False)
        assert drip.sent > 2

    def test_an_answer_that_is_lost_after_a_script_was_sent_again_may_stand_for_something_done(
        self, own: Redis, reach: Reach
    ) -> None:
        script = "return redis.call('SET', KEYS[1], 1)"

        def call(client: redis.Redis) -> Any:
            try:
                return client.evalsha("0" * 40, 1, KEY)
            except redis.exceptions.NoScriptError:
                own.signal(signal.SIGSTOP)
                return client.eval(script, 1, KEY)

        error = unavailable(reach(own.url, SHORT), call)
        own.signal(signal.SIGCONT)
        assert (str(error), error.maybe_done) == ("it does not answer", True)

    def test_a_script_that_the_server_does_not_know_keeps_nothing_of_its_caller(
        self, plain: Redis, reach: Reach
    ) -> None:
        class Mail:
            pass

        def claim(run: Callable[[], Any]) -> weakref.ref[Mail]:
            held = Mail()
            with pytest.raises((SpoolUnavailable, redis.exceptions.NoScriptError)):
                run()
            return weakref.ref(held)

        server = reach(plain.url, LONG)
        gc.collect()
        gc.disable()
        try:
            asked = claim(lambda: server.run(lambda client: client.evalsha("0" * 40, 1, KEY)))
            started = claim(lambda: server.start("EVALSHA", "0" * 40, 1, KEY).answer())
            assert (asked(), started()) == (None, None)
        finally:
            gc.enable()


class TestConnections:
    def test_a_server_that_was_started_again_is_used_without_an_error(self, reach: Reach) -> None:
        calls: list[int] = []

        def call(client: redis.Redis) -> Any:
            calls.append(1)
            return store(client)

        with Redis() as first:
            server = reach(first.url)
            assert server.run(call) is True
        with Redis(port=first.port):
            assert server.run(call) is True
        assert len(calls) == 2

    def test_a_connection_that_breaks_in_the_middle_is_not_tried_again(self, plain: Redis, reach: Reach) -> None:
        calls: list[int] = []

        def call(client: redis.Redis) -> Any:
            calls.append(1)
            with plain.client() as other:
                other.client_kill_filter(_id=str(client.client_id()))
            return store(client)

        error = unavailable(reach(plain.url), call)
        assert (str(error), error.maybe_done, calls) == ("it closed the connection", True, [1])

    def test_an_idle_connection_is_used_again_for_half_a_minute(self, plain: Redis, reach: Reach) -> None:
        at = [0.0]
        server = reach(plain.url, clock=lambda: at[0])
        first = server.run(lambda client: client.client_id())
        at[0] = 29.0
        assert server.run(lambda client: client.client_id()) == first
        at[0] = 59.5
        assert server.run(lambda client: client.client_id()) != first

    def test_a_hundred_threads_at_once_wait_for_nobody_and_leave_few_connections(
        self, plain: Redis, reach: Reach
    ) -> None:
        server = reach(plain.url, keep=5)
        together = threading.Barrier(100, timeout=LONG)
        ids: list[int] = []

        def call(client: redis.Redis) -> None:
            together.wait()
            ids.append(client.client_id())

        threads = [threading.Thread(target=server.run, args=(call,)) for _ in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(ids)) == 100

        def named() -> int:
            with plain.client() as client:
                return sum(one["name"] == "mailworker" for one in client.client_list())

        until(lambda: named() == 5)
        server.close()
        until(lambda: named() == 0)

    def test_a_forked_child_opens_connections_of_its_own(self, plain: Redis) -> None:
        code = f"""
import os
from mailworker.spool.server import Server
server = Server({plain.url!r}, 30.0, slot_key="k")
ask = lambda client: client.client_id()
before = server.run(ask)
server._lock.acquire()  # as a thread of the parent may hold it while another one forks
child = os.fork()
if not child:
    ids = {{server.run(ask), server.run(ask)}}
    os._exit(0 if len(ids) == 1 and before not in ids else 3)
server._lock.release()
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print("child", status, "parent", server.run(ask) == before, flush=True)
"""
        with Process([sys.executable, "-W", "error", "-c", code]) as process:
            assert process.wait() == 0, process.output
            assert "child 0 parent True" in process.output


class TestSentinel:
    def test_the_primary_is_asked_for_whichever_sentinel_is_silent(self, watched: SentinelSet, reach: Reach) -> None:
        for silent in watched.sentinels:
            silent.signal(signal.SIGSTOP)
            try:
                server = reach(watched.url, 2.0)
                assert server.run(port_of) == watched.primary.port
            finally:
                silent.signal(signal.SIGCONT)
            assert server.run(store) is True

    def test_kombus_way_to_write_several_is_read(self, watched: SentinelSet, reach: Reach) -> None:
        hosts = [f"sentinel://127.0.0.1:{one.port}" for one in watched.sentinels]
        hosts[0] += f"/0?master_name={watched.SERVICE}&sentinel_password=sentinels-pw"
        assert reach(";".join(hosts)).run(port_of) == watched.primary.port

    def test_what_sentinels_refuse_is_told_of_them(self, watched: SentinelSet, reach: Reach) -> None:
        for url, text in (
            (
                watched.url.replace(watched.SERVICE, "other"),
                "it knows no service of the name in the URL (its Sentinel)",
            ),
            (watched.url.replace("sentinels-pw", "hunter2"), "it refuses user or password (its Sentinel)"),
            (f"sentinel://127.0.0.1:{free_port()}/x", "connection refused (its Sentinel)"),
        ):
            error = unavailable(reach(url), store)
            assert (str(error), error.maybe_done) == (text, False)

    def test_after_the_primarys_death_the_next_call_goes_to_its_heir(self, reach: Reach) -> None:
        with SentinelSet() as servers:
            server = reach(servers.url)
            assert server.run(port_of) == servers.primary.port
            servers.kill_primary()
            assert server.run(port_of) == servers.replica.port
            assert server.run(store) is True

    def test_after_a_primary_that_hangs_was_replaced_only_one_call_is_lost(self, reach: Reach) -> None:
        with SentinelSet() as servers:
            server = reach(servers.url, 1.0)
            server.run(store)
            servers.freeze_primary()
            assert unavailable(server, store).maybe_done
            assert server.run(port_of) == servers.replica.port


class TestCluster:
    def test_a_user_that_may_not_look_at_the_server_finds_the_holder_too(self, reach: Reach) -> None:
        with Cluster(KEY) as cluster:
            for node in cluster.nodes:
                with node.client() as client:
                    for user, more in (("some", "-hello"), ("few", "-hello -cluster")):
                        rules = ("reset", "on", ">pw", "~*", "+@all", *more.split())
                        client.execute_command("ACL", "SETUSER", user, *rules)
            # The second one is led there by its first command with a key.
            for user in ("some", "few"):
                server = reach(cluster.url.replace("//", f"//{user}:pw@"))
                assert server.run(store) is True
                assert server.run(lambda client: client.config_get("port")) == {"port": str(cluster.holder.port)}

    def test_the_node_that_holds_the_slot_is_found_and_followed(self, reach: Reach) -> None:
        with Cluster(KEY) as cluster:
            # From any of the nodes, and from several of which one is not there.
            row = f"redis://127.0.0.1:{free_port()},127.0.0.1:{cluster.others[1].port}"
            for url in (cluster.url, cluster.holder.url, row):
                assert reach(url).run(port_of) == cluster.holder.port
            server = reach(cluster.url)
            assert server.run(store) is True

            # On its way: what is there already is had there, what is not is asked for at the other node.
            target = cluster.others[1]
            cluster.begin_to_move_slot_to(target)
            assert server.run(lambda client: client.get(f"{KEY}a")) == b"\xff"
            assert server.run(lambda client: client.set(f"{KEY}b", "new")) is True
            script = "return redis.call('GET', KEYS[1])"

            def by_script(client: redis.Redis) -> Any:
                try:
                    return client.evalsha("e" * 40, 1, f"{KEY}b")
                except redis.exceptions.NoScriptError:
                    return client.eval(script, 1, f"{KEY}b")

            assert server.run(by_script) == b"new"
            error = unavailable(server, lambda client: client.mget(f"{KEY}a", f"{KEY}b"))
            assert (str(error), error.maybe_done) == ("its keys are on the way to another node", False)

            # There.
            server.run(lambda client: client.delete(f"{KEY}a"))
            cluster.give_slot_to(target)
            assert server.run(lambda client: client.get(f"{KEY}b")) == b"new"
            assert server.run(port_of) == target.port

    def test_after_the_holders_death_the_next_call_goes_to_its_heir(self, reach: Reach) -> None:
        with Cluster(KEY, replica=True) as cluster:
            servers = [reach(cluster.url), reach(cluster.holder.url)]
            for server in servers:
                assert server.run(port_of) == cluster.holder.port
            cluster.kill_holder()
            for server in servers:
                assert server.run(port_of) == cluster.replica.port
                assert server.run(store) is True
