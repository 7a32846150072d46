"""One chaos run: a Redis, workers and producers as real processes, and at random moments one of them dies.

The moments and the victims come from a seed; what a victim was doing then is the machine's business. Killing goes on until
a tenth of the mails is left; then everything may settle, and `account` says what it came to. The logs of all processes are
in the folder that the caller gives.
"""

from __future__ import annotations

import contextlib
import math
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from mailworker.spool.record import MailStatus, State
from mailworker.spool.redis import RedisSpool
from mailworker.spool.server import Server
from tests.chaos.account import Account, account
from tests.chaos.child import Child
from tests.chaos.crew import Crew
from tests.chaos.cut import cut
from tests.chaos.deck import Deck
from tests.chaos.message import recipients
from tests.chaos.sink import Sink
from tests.processes import DurableRedis

#: What may happen, and how often in proportion.
KINDS = {
    "child killed": 5,
    "worker killed": 3,
    "connections cut": 4,
    "redis killed": 2,
    "redis frozen": 1,
    "child stalled": 1,
}

#: Seconds of a lease: so soon what a dead worker had comes back.
LEASE = 3

#: Seconds that a child or Redis stands still: longer than a lease.
_STALL = 1.5 * LEASE

#: Seconds between two looks at how far it is.
_LOOK = 0.1

#: In a Redis of its own.
_NAMESPACE = "chaos"


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
        #: Which of those that are there it hits: apart, since how many are there is nobody's choice.
        self._victims = random.Random(plan.seed)
        self._deck = Deck(KINDS, plan.pause, plan.seed)
        self._events: Counter[str] = Counter()
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
            module = ["mailworker"] if plan.mutant is None else ["tests.chaos.mutant", plan.mutant]
            self._crew = Crew(self._env(), self._folder, self._victims, self._tell, module)
            stack.callback(self._crew.end)
            self._crew.start(plan.workers)
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
            self._crew.end()
        ambiguous = self._crew.ambiguous + self._crew.too_late()
        return Result(
            account=account(plan.mails, accepted, statuses, self._sink.copies, ambiguous),
            events={**dict.fromkeys(KINDS, 0), **self._events},
            ended=self._crew.ended,
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

    @contextmanager
    def _producing(self) -> Iterator[list[Child]]:
        """Start the producers; end what is left of them."""
        plan = self._plan
        share = -(-plan.mails // plan.producers)
        producers = []
        try:
            for number in range(plan.producers):
                first = number * share
                count = max(0, min(share, plan.mails - first))
                argv = [sys.executable, "-m", "tests.chaos.producer", str(first), str(count), str(share / plan.seconds)]
                producers.append(Child(argv, self._env(), self._folder / f"accepted-{number}.txt"))
            yield producers
        finally:
            for producer in producers:
                producer.kill()

    def _make_trouble(self, producers: Sequence[Child]) -> None:
        """Let things happen until a tenth of the mails is left, or nothing moves any more."""
        plan = self._plan
        last, moved = 0, time.monotonic()
        kind, pause = self._deck.choose()
        at = time.monotonic() + pause
        enough = 0.9 * sum(len(recipients(number)) for number in range(plan.mails))
        while len(self._sink.copies) < enough:
            time.sleep(_LOOK)
            now = time.monotonic()
            self._wake_stalled(now)
            self._crew.restart_ended()
            if len(self._sink.copies) > last:
                last, moved = len(self._sink.copies), now
            elif now - moved > plan.patience:
                self._tell(f"nothing has moved for {plan.patience:g} s")
                return
            if now >= at:
                self._happen(kind)
                kind, pause = self._deck.choose()
                at = time.monotonic() + pause

    def _happen(self, kind: str) -> None:
        stalled = [each for _, each in self._stalled]
        if kind == "child killed":
            if not self._crew.kill_child(stalled):
                return
        elif kind == "child stalled":
            victim = self._crew.child(stalled)
            if victim is None:
                return
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.suspend()
                self._stalled.append((time.monotonic() + _STALL, victim))
        elif kind == "worker killed":
            self._crew.kill_worker()
        elif kind == "connections cut":
            if self._thaws_at is not None:
                # Nobody is there who would do it.
                return
            cut(self._redis.url, self._victims)
        elif kind == "redis frozen":
            self._redis.freeze()
            self._thaws_at = time.monotonic() + _STALL
        else:
            self._thaws_at = None
            self._redis.kill()
            self._redis.start_again()
        self._events[kind] += 1
        self._tell(f"{kind}: {len(self._sink.copies)} recipients have mail")

    def _wake_stalled(self, now: float) -> None:
        if self._thaws_at is not None and self._thaws_at <= now:
            self._redis.thaw()
            self._thaws_at = None
        for at, child in [each for each in self._stalled if each[0] <= now]:
            self._stalled.remove((at, child))
            with contextlib.suppress(psutil.NoSuchProcess):
                child.resume()

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
            self._crew.restart_ended()
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
