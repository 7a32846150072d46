"""Real servers for the spool's tests, on 127.0.0.1: with TLS and a login, watched by a Sentinel, as a cluster."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import which
from typing import Any, Self

import redis
import trustme
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.processes import PATIENCE, Process, RedisServer, free_port, missing


def until(condition: Callable[[], Any]) -> None:
    """Wait until a server says what it is to say; a connection that breaks meanwhile says no."""
    ends_at = time.monotonic() + PATIENCE
    pause = threading.Event()
    while time.monotonic() < ends_at:
        try:
            if condition():
                return
        except redis.exceptions.RedisError:
            pass
        pause.wait(0.02)
    raise AssertionError("it never came about")


class Redis(RedisServer):
    """A real redis-server, on a port of one's choice so that it can be started again there.

    Args:
        options: of redis-server.
        port: where; a free one by default.
    """

    def __init__(self, *options: str, port: int | None = None) -> None:
        if which("redis-server") is None:
            missing("redis-server")
        chosen = ("--port", str(port)) if port else ()
        super().__init__(*options, *chosen)
        self.port = port or self.port
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.address = ("127.0.0.1", self.port)

    @contextmanager
    def client(self) -> Iterator[redis.Redis]:
        # redis-py's own retries would wait for seconds where `until` asks again at once.
        with redis.Redis(port=self.port, retry=Retry(NoBackoff(), 0)) as client:
            yield client


class TlsRedis(Redis):
    """A redis-server that speaks TLS alone and knows one user, who has a password with everything in it.

    Args:
        folder: for its certificates.
    """

    USER, PASSWORD = "mail", "p@ss/w:rd?#"

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert("localhost", "127.0.0.1")
        self.authority = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
        certificate.cert_chain_pems[0].write_to_path(str(folder / "certificate.pem"))
        port = free_port()
        super().__init__(
            *("--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no"),
            *("--tls-cert-file", str(folder / "certificate.pem"), "--tls-key-file", str(folder / "key.pem")),
            *("--tls-ca-cert-file", str(self.authority)),
            *("--user", self.USER, "on", f">{self.PASSWORD}", "~*", "&*", "+@all"),
            *("--user", "default", "off"),
        )
        self.port = port
        self.address = ("127.0.0.1", port)
        self.login = f"{self.USER}:p%40ss%2Fw%3Ard%3F%23"
        self.url = f"rediss://{self.login}@localhost:{port}/0?ssl_ca_certs={self.authority}"


class SentinelSet:
    """A primary and its replica, watched by Sentinels of which one is enough to decide; the primary can be killed.

    Args:
        sentinels: how many.
        password: of the Sentinels.
    """

    SERVICE = "mail.primary"

    def __init__(self, sentinels: int = 1, password: str = "") -> None:
        self._stack = ExitStack()
        with ExitStack() as stack:
            # Without the wait of five seconds for further replicas.
            quick = ("--repl-diskless-sync-delay", "0")
            self.primary = stack.enter_context(Redis(*quick))
            self.replica = stack.enter_context(Redis(*quick, "--replicaof", "127.0.0.1", str(self.primary.port)))
            with self.replica.client() as client:
                until(lambda: client.info("replication")["master_link_status"] == "up")
            self.sentinels = [stack.enter_context(self._sentinel(password)) for _ in range(sentinels)]
            for one in self.sentinels:
                one.wait_for(r"\+slave slave")
            self._stack = stack.pop_all()
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        asked = f"?sentinel_password={password}" if password else ""
        self.url = f"sentinel://{hosts}/{self.SERVICE}/0{asked}"

    def _sentinel(self, password: str) -> _Sentinel:
        service = f"sentinel monitor {self.SERVICE} 127.0.0.1 {self.primary.port} 1"
        times = ("down-after-milliseconds", "300"), ("failover-timeout", "1500")
        lines = [service, *(f"sentinel {name} {self.SERVICE} {value}" for name, value in times)]
        return _Sentinel([*lines, *([f"requirepass {password}"] if password else [])])

    def kill_primary(self) -> None:
        """Kill the primary, and wait until the Sentinels have made the replica one."""
        self.primary.close()
        self._succeed()

    def freeze_primary(self) -> None:
        """Stop the primary, with its connections open, and wait until the Sentinels have made the replica one."""
        self.primary.signal(signal.SIGSTOP)
        self._succeed()

    def _succeed(self) -> None:
        for one in self.sentinels:
            one.wait_for(rf"\+switch-master {self.SERVICE} .* {self.replica.port}\b")

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _Sentinel(Process):
    def __init__(self, lines: list[str]) -> None:
        self.port = free_port()
        settings = "\n".join([f"port {self.port}", "bind 127.0.0.1", *lines, ""])
        # It writes into its file what it learns; so that stands in its own folder.
        start = 'printf %s "$1" > sentinel.conf && exec redis-server sentinel.conf --sentinel'
        super().__init__(["sh", "-c", start, "sentinel", settings])
        self.wait_for("monitor master")


class Cluster:
    """Three primaries that share the slots, and a replica of the one that holds a key.

    Args:
        key: of which `holder` holds the slot.
        replica: start one.
    """

    def __init__(self, key: str, *, replica: bool = False) -> None:
        self._stack = ExitStack()
        with ExitStack() as stack:
            self.nodes = [stack.enter_context(self._node()) for _ in range(3 + replica)]
            primaries = self.nodes[:3]
            for place, node in enumerate(primaries):
                with node.client() as client:
                    first, last = place * 5461, 16383 if place == 2 else place * 5461 + 5460
                    client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
                    client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", place + 1)
            with self.nodes[0].client() as client:
                self.slot: int = client.execute_command("CLUSTER", "KEYSLOT", key)
                for node in self.nodes[1:]:
                    client.execute_command("CLUSTER", "MEET", "127.0.0.1", node.port, node.bus)
            self.holder = primaries[min(2, self.slot // 5461)]
            self.others = [node for node in primaries if node is not self.holder]
            for node in self.nodes:
                until(lambda node=node: self._knows_all(node))  # type: ignore[misc]
            if replica:
                self.replica = self.nodes[3]
                with self.replica.client() as client:
                    client.execute_command("CLUSTER", "REPLICATE", self.id_of(self.holder))
                    until(lambda: client.info("replication").get("master_link_status") == "up")
                for node in self.nodes:
                    until(lambda node=node: self.replica.port in self._holders(node))  # type: ignore[misc]
            self._stack = stack.pop_all()
        self.url = f"redis://127.0.0.1:{self.others[0].port}/0"

    @staticmethod
    def _node() -> _ClusterNode:
        return _ClusterNode(free_port())

    def _knows_all(self, node: Redis) -> bool:
        with node.client() as client:
            told = client.execute_command("CLUSTER INFO")
            state = told if isinstance(told, dict) else {}
            return state.get("cluster_state") == "ok" and state.get("cluster_known_nodes") == str(len(self.nodes))

    def _holders(self, node: Redis) -> list[int]:
        """Return the ports of the nodes that hold the key as one node sees it, the primary's first."""
        with node.client() as client:
            client.set_response_callback("CLUSTER SLOTS", lambda answer, **_: answer)
            slots = client.execute_command("CLUSTER SLOTS")
        return next(([one[1] for one in holders] for first, last, *holders in slots if first <= self.slot <= last), [])

    def id_of(self, node: Redis) -> str:
        with node.client() as client:
            answer = client.execute_command("CLUSTER", "MYID")
        return answer.decode() if isinstance(answer, bytes) else str(answer)

    def give_slot_to(self, node: Redis) -> None:
        """Let another primary hold the key's slot, which must be empty."""
        for each in (node, self.holder, *self.nodes):
            with each.client() as client:
                if client.info("replication")["role"] == "master":
                    client.execute_command("CLUSTER", "SETSLOT", self.slot, "NODE", self.id_of(node))
        self.holder = node

    def begin_to_move_slot_to(self, node: Redis) -> None:
        """Put the slot on its way: keys that are not there yet are asked for at the other node."""
        with node.client() as client:
            client.execute_command("CLUSTER", "SETSLOT", self.slot, "IMPORTING", self.id_of(self.holder))
        with self.holder.client() as client:
            client.execute_command("CLUSTER", "SETSLOT", self.slot, "MIGRATING", self.id_of(node))

    def kill_holder(self) -> None:
        """Kill the primary that holds the key, and wait until its replica has taken its place."""
        self.holder.close()
        for node in (self.replica, *self.others):
            until(lambda node=node: self._holders(node)[:1] == [self.replica.port])  # type: ignore[misc]
        self.holder = self.replica

    def close(self) -> None:
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class _ClusterNode(Redis):
    def __init__(self, port: int) -> None:
        self.bus = free_port()
        super().__init__(
            *("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "500"),
            # A replica to which nothing was said yet is not shown; the first ping would come after ten seconds.
            *("--cluster-port", str(self.bus), "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"),
            port=port,
        )
