"""pytest-celery's clusters on processes of this machine in place of containers.

A node wants an object that starts, stops, tells its log and its configuration; ours is a process.
"""

from __future__ import annotations

import signal as signals
from typing import Any

from tests.processes import Process, RedisServer, Worker


class LocalNode:
    """What pytest-celery's nodes and clusters touch of a container.

    Args:
        name: shown in its messages.
        process: the running process.
        config: what tells others how to reach it.
    """

    def __init__(self, name: str, process: Process, config: dict[str, Any]) -> None:
        self.name = name
        self.process = process
        self.celeryconfig = config

    @property
    def id(self) -> str:
        return f"{self.process.pid:012d}"

    @property
    def status(self) -> str:
        return "running" if self.process.is_running else "exited"

    def ready(self) -> bool:
        return self.process.is_running

    def logs(self) -> str:
        return self.process.output

    def kill(self, signal: str = "SIGKILL") -> None:
        number = getattr(signals, signal)
        self.process.signal(number, group=number == signals.SIGKILL)
        self.process.wait()

    def reload(self) -> None:
        """Do nothing: a process has no cached attributes."""

    def teardown(self) -> None:
        self.process.close()


def redis_node(server: RedisServer) -> LocalNode:
    """Return a broker's node."""
    config = {"url": server.url, "host_url": server.url, "hostname": "127.0.0.1", "port": server.port, "vhost": "0"}
    return LocalNode("redis", server, config)


class WorkerNode(LocalNode):
    """A mail worker's node."""

    def __init__(self, name: str, worker: Worker) -> None:
        super().__init__(name, worker, {})

    def version(self) -> str:
        import celery

        version: str = celery.__version__
        return version

    def log_level(self) -> str:
        return "INFO"

    def worker_name(self) -> str:
        return self.name

    def worker_queue(self) -> str:
        return "mailworker.normal"
