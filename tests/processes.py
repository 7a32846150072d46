"""Real processes for tests: brokers and workers, started on free ports, watched by their output, ended for sure."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import pytest

ROOT = Path(__file__).resolve().parent.parent

#: Seconds that anything may take to start or to stop before a test fails.
PATIENCE = 60.0


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def missing(what: str) -> None:
    """Skip where a server is not installed; fail where it has to be (CI=true)."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is missing, and CI=true")
    pytest.skip(f"{what} is missing")


class Process:
    """A process in a session of its own, whose output can be waited for.

    Args:
        argv: the command.
        env: variables over the clean environment.
        cwd: where it runs; a temporary folder by default, so that no `.env` is found.
    """

    def __init__(self, argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mailworker-test-")
        self.argv = list(argv)
        self.output = ""
        self._said = threading.Condition()
        self._process = subprocess.Popen(
            self.argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**clean_environment(), **(env or {})},
            cwd=cwd or self._folder.name,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    def wait_for(self, pattern: str, count: int = 1, patience: float = PATIENCE, since: int = 0) -> None:
        """Wait until the output, from character `since` on, matches `pattern` at least `count` times."""

        def is_said() -> bool:
            return len(re.findall(pattern, self.output[since:])) >= count

        with self._said:
            self._said.wait_for(lambda: is_said() or self._process.poll() is not None, patience)
        if not is_said():
            state = "runs" if self.is_running else f"ended with {self.returncode}"
            raise AssertionError(
                f"{self.argv} {state} and never said {pattern!r} {count} times:\n{self.output[-5000:]}"
            )

    def signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal to the process, or to its whole group."""
        if group:
            os.killpg(self.pid, number)
        else:
            os.kill(self.pid, number)

    def wait(self, patience: float = PATIENCE) -> int:
        """Wait for the end, and return the exit status."""
        try:
            status = self._process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.argv} does not end:\n{self.output[-5000:]}") from None
        self._reader.join(PATIENCE)
        return status

    def close(self) -> None:
        """End the process, everything in its group, and what it has started in groups of their own."""
        kill_tree(self.pid)
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._said:
                self.output += line
                self._said.notify_all()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(PATIENCE)
        with self._said:
            self._said.notify_all()


def kill_tree(pid: int) -> None:
    """Kill a process that leads a group, the group, and what it has started in groups of their own."""
    descendants: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        descendants = psutil.Process(pid).children(recursive=True)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    for one in descendants:
        with contextlib.suppress(psutil.Error):
            one.kill()


def clean_environment() -> dict[str, str]:
    """Return the environment without anything that configures mailworker, with this checkout importable."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MAILWORKER_", "EMAIL_", "REDIS_", "CELERY_", "DJANGO_", "PYTEST_"))
        and name not in ("MAILERS", "ADMINS", "MANAGERS")
    }
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


class RedisServer(Process):
    """A private redis-server; fakeredis's TCP server where none is installed."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        program = shutil.which("redis-server")
        if program is not None:
            argv = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", *options]
        else:
            argv = [sys.executable, "-c", _FAKE_REDIS, str(self.port)]
        super().__init__(argv)
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.wait_for("[Rr]eady to accept connections")


_FAKE_REDIS = """
import sys
from mailworker.testing.fake_broker import fake_server
server = fake_server(int(sys.argv[1]))
print("ready to accept connections", flush=True)
server.serve_forever()
"""


class Worker(Process):
    """A mail worker, started as users start it, and ready.

    Args:
        env: its settings.
        options: of `mailworker worker`.
        command: another command that starts a worker.
        cwd: where it runs.
    """

    def __init__(
        self, env: Mapping[str, str], *options: str, command: Sequence[str] | None = None, cwd: Path | None = None
    ) -> None:
        argv = [*(command or (sys.executable, "-m", "mailworker", "worker")), *options]
        if "-n" not in argv:
            # Two nodes of one name lock each other out of RabbitMQ.
            argv += ["-n", f"{uuid.uuid4().hex[:8]}@%h"]
        super().__init__(argv, env, cwd)
        try:
            self.wait_for(r" ready\.")
        except BaseException:
            self.close()
            raise


RABBITMQ_PORT = 5672
RABBITMQ_URL = "amqp://guest:guest@127.0.0.1:5672//"


def rabbitmq_is_there() -> bool:
    """Tell whether a RabbitMQ answers where the development machine has one."""
    try:
        with socket.create_connection(("127.0.0.1", RABBITMQ_PORT), 2) as one:
            one.sendall(b"AMQP\x00\x00\x09\x01")
            return one.recv(1) == b"\x01"
    except OSError:
        return False


def delete_queues(url: str, names: Iterator[str] | Sequence[str]) -> None:
    """Delete queues and exchanges of a test from a broker that others use too."""
    from kombu import Connection

    with Connection(url) as connection:
        channel = connection.default_channel
        for name in names:
            channel.queue_delete(name)
            channel.exchange_delete(name)


def fetch(url: str, user: str | None = None, password: str | None = None) -> bytes:
    """Return what a local HTTP server answers."""
    request = urllib.request.Request(url)
    if user is not None:
        request.add_header("Authorization", "Basic " + b64encode(f"{user}:{password}".encode()).decode())
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        body: bytes = answer.read()
        return body


class DurableRedis:
    """A private redis-server that has on disk whatever it has answered for; it can be killed, frozen and started again.

    Args:
        folder: where its append-only file is.
    """

    def __init__(self, folder: Path) -> None:
        if shutil.which("redis-server") is None:
            missing("redis-server")
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process = self._started()

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.close()

    def start_again(self) -> None:
        """Start it on the same port with what is on disk."""
        self.process = self._started()

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does; connections stay open and nobody answers."""
        self.process.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self.process.signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.kill()

    def _started(self) -> Process:
        options = "--bind 127.0.0.1 --appendonly yes --appendfsync always --auto-aof-rewrite-percentage 0"
        process = Process(["redis-server", "--port", str(self.port), "--save", "", *options.split()], cwd=self.folder)
        try:
            process.wait_for("[Rr]eady to accept connections")
        except BaseException:
            process.close()
            raise
        return process


def eventually(condition: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
    """Wait until a question to a server, which tells nobody by itself, is answered with yes."""
    ends = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < ends, f"{what} did not come in {patience:g} s"
        time.sleep(0.02)
