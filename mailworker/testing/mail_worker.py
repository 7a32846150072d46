"""A real worker for tests: `mailworker worker` as a process, on a private broker, delivering to one port of this machine.

A `Station` keeps broker and worker from one test to the next. A test gets them without any mail in them; if it leaves mail
that is unfinished or given up, a pause, or a relay that has refused something, the worker may remember that: it is ended, and
the next test gets another one in a namespace of its own. All processes end with this one, also if that is killed. The worker has no settings but those given here: it delivers, whatever app or project the
test belongs to.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

from redis import Redis
from redis.exceptions import RedisError

from mailworker import settings
from mailworker.errors import ConfigurationError
from mailworker.queue import app as apps
from mailworker.queue import dispatch, spools
from mailworker.spool.base import SpoolUnavailable
from mailworker.spool.record import State
from mailworker.testing import broker, surroundings
from mailworker.testing.destination import relay_settings
from mailworker.testing.part import Part

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from mailworker.settings import Settings
    from mailworker.spool.record import MailStatus
    from mailworker.spool.redis import RedisSpool
    from mailworker.testing.smtpd import ScriptedServer

#: Seconds that a wait lasts at most.
WAIT = 30.0

#: Seconds between two looks at the spool, which tells nobody by itself.
_LOOK = 0.02

#: States that a worker has nothing more to do with, and that leave nothing behind.
_HARMLESS = (State.SENT, State.CANCELLED, State.EXPIRED)


class MailWorker:
    """A worker that a test may use; what the test's own process sends goes to it.

    Args:
        broker_url: of its broker, which keeps the mail, too.
        namespace: of its own in that broker.
        part: its process.
        mailers: aliases of those that it delivers with.

    Attributes:
        broker_url: as given.
        namespace: as given.
    """

    def __init__(self, broker_url: str, namespace: str, part: Part, mailers: Collection[str]) -> None:
        self.broker_url = broker_url
        self.namespace = namespace
        self._part = part
        self._mailers = mailers

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._part.said()

    @property
    def is_running(self) -> bool:
        """True until it has ended."""
        return self._part.is_running

    def wait_until_drained(self, timeout: float = WAIT) -> None:
        """Wait until no mail is due or in the worker's hands; one that is due only after the wait does not count.

        Args:
            timeout: seconds; a mail that is tried again within this time is waited for.

        Raises:
            AssertionError: there still is one; it says which, with the end of the worker's log.
        """
        __tracebackhide__ = True
        ends = time.monotonic() + timeout
        while not self._is_drained(ends - time.monotonic()):
            self._part.check()
            if time.monotonic() >= ends:
                spool = self._spool()
                waiting = list(spool.statuses(dict.fromkeys([*spool.ids(State.DUE), *spool.ids(State.LEASED)])))
                mails = "".join(f"\n  {_shown(one)}{self._unknown(one.mailer)}" for one in waiting)
                raise AssertionError(
                    f"{len(waiting)} of the mails are not finished after {timeout:g} s:{mails}\nthe end of the worker's "
                    f"log:\n{self._part.tail()}"
                )
            time.sleep(_LOOK)

    def _unknown(self, mailer: str) -> str:
        if mailer in self._mailers:
            return ""
        return (
            f"; the worker does not know its mailer {mailer!r}: name it in MAILERS before the test asks for the worker"
        )

    def _is_drained(self, ahead: float) -> bool:
        spool = self._spool()
        # The counts are of one moment; of two lists after one another, a mail that moves between them may be in neither.
        counts: Counter[State] = Counter()
        for (_, _, state), number in spool.stats().counts.items():
            counts[state] += number
        if counts[State.LEASED] or not counts[State.DUE]:
            return not counts[State.LEASED]
        horizon = time.time() + max(0.0, ahead)
        due = [one.next_attempt_at for one in spool.statuses(spool.ids(State.DUE))]
        return sum(at is not None and at > horizon for at in due) >= counts[State.DUE]

    def is_clean(self) -> bool:
        """Tell whether nothing that a test did is left, but for mails that have come to a good end."""
        stats = self._spool().stats()
        gates = stats.mailers.values()
        return (
            all(state in _HARMLESS for _, _, state in stats.counts)
            and not stats.groups
            and not any(one.paused_by_person or one.paused_until or one.failures for one in gates)
        )

    def forget(self) -> None:
        """Take all mails out of the spool."""
        with Redis.from_url(self.broker_url) as client:
            keys = list(client.scan_iter(f"{{{self.namespace}}}:*", count=1000))
            if keys:
                client.delete(*keys)

    def _spool(self) -> RedisSpool:
        spool = spools.for_producers(apps.current(), settings.current())
        assert spool is not None
        return spool


@dataclass(frozen=True, slots=True)
class _Running:
    """A worker that runs, the port that it delivers to, and all of its settings but the namespace."""

    part: Part
    worker: MailWorker
    port: int
    told: Mapping[str, str]


class Station:
    """What tests share: a broker, and a worker as long as it is clean. Use it as a context manager."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._broker: tuple[Part, str] | None = None
        self._running: _Running | None = None

    @property
    def port(self) -> int:
        """Port that the worker delivers to, for the next test's server; 0 = there is no worker, take any."""
        return self._running.port if self._running else 0

    @contextmanager
    def lend(self, server: ScriptedServer) -> Iterator[MailWorker]:
        """Give a worker that delivers to a server; what this process sends meanwhile goes to that worker.

        Raises:
            ConfigurationError: there is neither a redis-server nor fakeredis.
            PartFailed: a process does not come up.
        """
        with apps.without_installed():
            url = self._broker_url()
            # Some of them come from the project: the names of its mailers, its keys.
            wanted = _worker_settings(url, server.host, server.port)
            if self._running is not None and self._running.told != wanted:
                self._end_worker()
            if self._running is None:
                self._running = self._started(url, server.port, wanted)
            worker = self._running.worker
            with settings.overlay(lambda below: _producer_settings(below, worker, server)):
                try:
                    yield worker
                finally:
                    if not self._is_fit_for_another(worker, server):
                        self._end_worker()
                    spools.close(apps.own())
                    dispatch.close(apps.own())

    def close(self) -> None:
        """End everything; never raises."""
        self._end_worker()
        if self._broker is not None:
            self._broker[0].stop()
            self._broker = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _is_fit_for_another(self, worker: MailWorker, server: ScriptedServer) -> bool:
        """Tell whether the worker remembers nothing of this test; then its spool is emptied."""
        refused = any(one.refused or not one.accepted for one in server.transactions)
        broken = any(one.ended_by == "server" for one in server.sessions)
        if refused or broken or not worker.is_running:
            return False
        try:
            is_clean = worker.is_clean()
            worker.forget()
        except (SpoolUnavailable, RedisError):
            return False
        return is_clean

    def _end_worker(self) -> None:
        if self._running is not None:
            self._running.part.stop()
            self._running = None

    def _private(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="mailworker-testing-"))
        return self._folder

    def _environment(self) -> dict[str, str]:
        return surroundings.clean_environment(surroundings.importing_environment(), self._private())

    def _broker_url(self) -> str:
        if self._broker is None:
            if broker.program() is None and find_spec("fakeredis") is None:
                raise ConfigurationError(
                    "mailworker_worker needs a Redis of its own, and there is neither a redis-server in PATH nor fakeredis: "
                    "install one of the two (pip install 'mailworker[demo]')"
                )
            part, url, _ = broker.start(self._private(), self._environment())
            self._broker = part, url
        return self._broker[1]

    def _started(self, url: str, port: int, told: Mapping[str, str]) -> _Running:
        name = f"test-{uuid4().hex[:10]}"
        folder = self._private() / name
        folder.mkdir()
        command = [sys.executable, "-m", "mailworker", "worker", "-c", "1", "-l", "INFO", "-n", f"{name}@%h"]
        part = Part("worker", command, folder, {**self._environment(), **told, "MAILWORKER_NAMESPACE": name})
        try:
            part.wait_for(r"@\S+ ready\.")
        except BaseException:
            part.stop()
            raise
        return _Running(part, MailWorker(url, name, part, json.loads(told["MAILERS"])), port, told)


def _worker_settings(url: str, host: str, port: int) -> dict[str, str]:
    conf = settings.current()
    shown = {
        "MAILWORKER_BROKER_URL": url,
        "MAILWORKER_SPOOL_URL": url,
        # A test waits for a retry, and not for a minute.
        "MAILWORKER_RETRY_SCHEDULE": "1",
        "MAILWORKER_RETRY_JITTER": "0",
        "MAILWORKER_RELAY_BACKOFF": "1",
        "MAILERS": json.dumps(
            {
                alias: {"OPTIONS": {"host": host, "port": port}}
                for alias, mailer in conf.mailers.items()
                if not mailer.is_queue
            }
        ),
    }
    for name in ("MAILWORKER_ENCRYPTION_KEYS", "MAILWORKER_UNSUBSCRIBE_KEYS"):
        if keys := getattr(conf, name):
            shown[name] = ",".join(key.get_secret_value() for key in keys)
    if conf.MAILWORKER_UNSUBSCRIBE_URL:
        shown["MAILWORKER_UNSUBSCRIBE_URL"] = conf.MAILWORKER_UNSUBSCRIBE_URL
    return shown


def _producer_settings(below: Settings, worker: MailWorker, server: ScriptedServer) -> dict[str, Any]:
    return relay_settings(below, server.host, server.port) | {
        "MAILWORKER_TASK_ALWAYS_EAGER": False,
        "MAILWORKER_CELERY_APP": None,
        "MAILWORKER_BROKER_URL": worker.broker_url,
        "MAILWORKER_SPOOL_URL": worker.broker_url,
        "MAILWORKER_NAMESPACE": worker.namespace,
        # The first publish of a process imports half of kombu.
        "MAILWORKER_ENQUEUE_TIMEOUT": 20,
    }


def _shown(one: MailStatus) -> str:
    state = f"mail {one.id} is {one.state.value} after {one.attempts} attempts"
    said = [f"{outcome.kind.value} {outcome.reply.code}" for outcome in one.outcomes.values() if outcome.reply]
    reasons = [*([one.reason] if one.reason else []), *said]
    return f"{state} ({', '.join(reasons)})" if reasons else state
