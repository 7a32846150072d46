"""One chaos run: a Redis, workers and producers as real processes, and at random moments one of them dies.

The moments and the victims come from a seed; what a victim was doing then is the machine's business. Killing goes on until
a tenth of the mails is left; then everything may settle, and `account` says what it came to. The logs of all processes are
in the folder that the caller gives.
"""

from __future__ import annotations

import contextlib
import math
import os
import random
import re
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import redis

from mailworker.spool.record import MailStatus, State
from mailworker.spool.redis import RedisSpool
from mailworker.spool.server import Server
from tests.chaos.account import Account, account
from tests.chaos.message import recipients
from tests.chaos.sink import Sink
from tests.processes import DurableRedis, clean_environment

#: What may happen, and how often in proportion.
KINDS = {
    "child killed": 5,
    "worker killed": 3,
    "connections cut": 4,
    "redis killed": 2,
    "redis frozen": 1,
    "child stalled": 1,
}

#: Prefork children of a worker.
CHILDREN = 2

#: Seconds of a lease: so soon what a dead worker had comes back.
LEASE = 3

#: Seconds that a child or Redis stands still: longer than a lease.
_STALL = 1.5 * LEASE

#: Seconds between two looks at how far it is.
_LOOK = 0.1

#: In a Redis of its own.
_NAMESPACE = "chaos"

#: What a worker says when it stalled past a lease, by our doing or the machine's, and lived to tell.
_TOO_LATE = re.compile("lease was lost before the outcome could be recorded")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run is to be.

    Attributes:
        mails: how many.
        seconds: for how long the producers spread them.
        seed: of the moments and victims.
        workers: how many worker processes.
        producers: how many processes enqueue.
        pause: seconds between two events, on average.
        patience: seconds without any progress after which a run that should settle is given up.
        mutant: rule of the worker that is broken on purpose (`tests.chaos.mutant`).
    """

    mails: int = 20_000
    seconds: float = 120.0
    seed: int = 0
    workers: int = 3
    producers: int = 4
    pause: float = 0.7
    patience: float = 60.0
    mutant: str | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run was.

    Attributes:
        account: every mail accounted for.
        events: how often what happened.
        ended: workers that ended without having been killed.
        seconds: how long it took.
    """

    account: Account
    events: Mapping[str, int]
    ended: int
    seconds: float


@dataclass
class _Child:
    """A process whose output goes to a file."""

    argv: Sequence[str]
    env: Mapping[str, str]
    output: Path
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        with self.output.open("ab") as file:
            self.process = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file if self.output.suffix == ".log" else None,
                env={**clean_environment(), **self.env},
                cwd=self.output.parent,
                start_new_session=True,
            )

    def kill(self) -> None:
        """End it and its children, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Run:
    """A run.

    Args:
        plan: what it is to be.
        folder: gets the logs of all processes.
        tell: hears what happens, for people.
    """

    def __init__(self, plan: Plan, folder: Path, tell: Callable[[str], None] = lambda text: None) -> None:
        self._plan = plan
        self._folder = folder
        self._tell = tell
        self._random = random.Random(plan.seed)
        #: Which of those that are there it hits: apart, since how many are there is nobody's choice.
        self._victims = random.Random(plan.seed)
        self._deck: list[str] = []
        self._events: Counter[str] = Counter()
        self._ambiguous = 0
        self._ended = 0
        self._workers: list[_Child] = []
        self._stalled: list[tuple[float, psutil.Process]] = []
        self._thaws_at: float | None = None

    def run(self) -> Result:
        """Do it, and account for it."""
        started = time.monotonic()
        plan = self._plan
        with ExitStack() as stack:
            self._sink = stack.enter_context(Sink(delay=0.003))
            (self._folder / "redis").mkdir()
            self._redis = stack.enter_context(DurableRedis(self._folder / "redis"))
            stack.callback(self._end_workers)
            for number in range(plan.workers):
                self._workers.append(self._worker(number))
            with self._producing() as producers:
                self._make_trouble(producers)
                self._wake_stalled(math.inf)
                for producer in producers:
                    # What it has not enqueued by then is accounted for as never accepted.
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        producer.process.wait(plan.seconds + plan.patience)
            accepted = self._accepted()
            self._settle(accepted)
            statuses = self._statuses(accepted)
            # Before anybody counts: what is still on its way to the sink may come now.
            self._end_workers()
        self._ambiguous += self._too_late()
        return Result(
            account=account(plan.mails, accepted, statuses, self._sink.copies, self._ambiguous),
            events={**dict.fromkeys(KINDS, 0), **self._events},
            ended=self._ended,
            seconds=time.monotonic() - started,
        )

    def _env(self) -> dict[str, str]:
        return {
            "MAILWORKER_BROKER_URL": self._redis.url,
            "MAILWORKER_SPOOL_URL": self._redis.url,
            "MAILWORKER_NAMESPACE": _NAMESPACE,
            "MAILWORKER_LEASE": str(LEASE),
            "MAILWORKER_RETRY_SCHEDULE": "1",
            "MAILWORKER_RELAY_BACKOFF": "1",
            "EMAIL_HOST": "127.0.0.1",
            "EMAIL_PORT": str(self._sink.port),
            "EMAIL_TIMEOUT": "20",
            # Where workers that are killed leave their heartbeats.
            "TMPDIR": str(self._folder),
        }

    def _worker(self, number: int) -> _Child:
        module = ["mailworker"] if self._plan.mutant is None else ["tests.chaos.mutant", self._plan.mutant]
        options = ["-c", str(CHILDREN), "-l", "INFO", "-n", f"{uuid.uuid4().hex[:8]}@%h"]
        argv = [sys.executable, "-m", *module, "worker", *options]
        return _Child(argv, self._env(), self._folder / f"worker-{number}.log")

    @contextmanager
    def _producing(self) -> Iterator[list[_Child]]:
        """Start the producers; end what is left of them."""
        plan = self._plan
        share = -(-plan.mails // plan.producers)
        producers = []
        try:
            for number in range(plan.producers):
                first = number * share
                count = max(0, min(share, plan.mails - first))
                argv = [sys.executable, "-m", "tests.chaos.producer", str(first), str(count), str(share / plan.seconds)]
                producers.append(_Child(argv, self._env(), self._folder / f"accepted-{number}.txt"))
            yield producers
        finally:
            for producer in producers:
                producer.kill()

    def _make_trouble(self, producers: Sequence[_Child]) -> None:
        """Let things happen until a tenth of the mails is left, or nothing moves any more."""
        plan = self._plan
        last, moved = 0, time.monotonic()
        kind, pause = self.choose()
        at = time.monotonic() + pause
        enough = 0.9 * sum(len(recipients(number)) for number in range(plan.mails))
        while len(self._sink.copies) < enough:
            time.sleep(_LOOK)
            now = time.monotonic()
            self._wake_stalled(now)
            self._restart_ended()
            if len(self._sink.copies) > last:
                last, moved = len(self._sink.copies), now
            elif now - moved > plan.patience:
                self._tell(f"nothing has moved for {plan.patience:g} s")
                return
            if now >= at:
                self._happen(kind)
                kind, pause = self.choose()
                at = time.monotonic() + pause

    def choose(self) -> tuple[str, float]:
        """Return what happens next, and in how many seconds."""
        if not self._deck:
            # As cards are dealt: at random, and even a short run has some of each.
            self._deck = [kind for kind, often in KINDS.items() for _ in range(often)]
            self._random.shuffle(self._deck)
        return self._deck.pop(), self._random.expovariate(1 / self._plan.pause)

    def _happen(self, kind: str) -> None:
        if kind in ("child killed", "child stalled"):
            children = self._children()
            if not children:
                return
            victim = self._victims.choice(children)
            with contextlib.suppress(psutil.NoSuchProcess):
                if kind == "child killed":
                    self._ambiguous += 1
                    victim.kill()
                else:
                    victim.suspend()
                    self._stalled.append((time.monotonic() + _STALL, victim))
        elif kind == "worker killed":
            # Each of its children may have had a mail between the dot and the record.
            self._ambiguous += CHILDREN
            number = self._victims.randrange(len(self._workers))
            self._workers[number].kill()
            self._workers[number] = self._worker(number)
        elif kind == "connections cut":
            if self._thaws_at is not None:
                # Nobody is there who would do it.
                return
            self._cut()
        elif kind == "redis frozen":
            self._redis.freeze()
            self._thaws_at = time.monotonic() + _STALL
        else:
            self._thaws_at = None
            self._redis.kill()
            self._redis.start_again()
        self._events[kind] += 1
        self._tell(f"{kind}: {len(self._sink.copies)} recipients have mail")

    def _children(self) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        for worker in self._workers:
            with contextlib.suppress(psutil.Error):
                found += psutil.Process(worker.process.pid).children()
        stalled = {each for _, each in self._stalled}
        return [each for each in found if each not in stalled]

    def _cut(self) -> None:
        """Close the connections of all clients, or of a few."""
        with contextlib.suppress(redis.RedisError), redis.Redis.from_url(self._redis.url) as client:
            if self._victims.random() < 0.5:
                for kind in ("normal", "pubsub"):
                    client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
                return
            addresses = [each["addr"] for each in client.client_list()]
            for address in self._victims.sample(addresses, len(addresses) // 3):
                with contextlib.suppress(redis.ResponseError):
                    client.execute_command("CLIENT", "KILL", "ADDR", address, "SKIPME", "yes")

    def _wake_stalled(self, now: float) -> None:
        if self._thaws_at is not None and self._thaws_at <= now:
            self._redis.thaw()
            self._thaws_at = None
        for at, child in [each for each in self._stalled if each[0] <= now]:
            self._stalled.remove((at, child))
            with contextlib.suppress(psutil.NoSuchProcess):
                child.resume()

    def _restart_ended(self) -> None:
        """Start workers again that ended by themselves, as an init system does."""
        for number, worker in enumerate(self._workers):
            if worker.process.poll() is not None:
                self._tell(f"worker {number} ended by itself with {worker.process.returncode}")
                self._ended += 1
                self._ambiguous += CHILDREN
                worker.kill()
                self._workers[number] = self._worker(number)

    def _accepted(self) -> dict[int, str]:
        """Return number -> id of what the producers say."""
        found: dict[int, str] = {}
        for file in self._folder.glob("accepted-*.txt"):
            for line in file.read_text().splitlines():
                number, _, mail_id = line.partition(" ")
                found[int(number)] = mail_id
        return found

    def _spool(self) -> RedisSpool:
        return RedisSpool(Server(self._redis.url, 10.0, slot_key=f"{{{_NAMESPACE}}}:"), _NAMESPACE)

    def _settle(self, accepted: Mapping[int, str]) -> None:
        """Wait until nothing is due or leased any more, as long as that number falls."""
        spool = self._spool()
        least, moved = len(accepted) + 1, time.monotonic()
        while time.monotonic() - moved < self._plan.patience:
            self._restart_ended()
            counts = spool.stats().counts
            left = sum(number for (_, _, state), number in counts.items() if state in (State.DUE, State.LEASED))
            if not left:
                break
            if left < least:
                least, moved = left, time.monotonic()
            time.sleep(_LOOK)
        spool.close()

    def _statuses(self, accepted: Mapping[int, str]) -> dict[str, MailStatus]:
        spool = self._spool()
        found = {status.id: status for status in spool.statuses(accepted.values())}
        spool.close()
        return found

    def _end_workers(self) -> None:
        for worker in self._workers:
            worker.kill()

    def _too_late(self) -> int:
        return sum(len(_TOO_LATE.findall(file.read_text(errors="replace"))) for file in self._folder.glob("*.log"))
