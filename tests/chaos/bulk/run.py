"""One run of a bulk: it is started, paused, resumed and reported by the command line, and meanwhile somebody always dies.

The producer is killed at rows that a seed chooses and started again, until one reads the list to its end; nothing may have gone before. Then
workers and their children die, connections break, and Redis is killed and started again. In the middle the bulk is paused: once
what was in hand is through nothing goes, while other mail does, and some recipients are put on the list of those who want no more. At the
end `account` says what it came to. The logs of all processes are in the folder that the caller gives.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailworker.spool.base import SpoolUnavailable
from mailworker.spool.bulk import Bulk
from mailworker.spool.record import State
from mailworker.spool.redis import RedisSpool
from mailworker.spool.server import Server
from tests.bulk_letter import environment, write_templates
from tests.bulk_list import REFUSING, Kind, listed, suppression
from tests.chaos.bulk.account import Account, Seen, account
from tests.chaos.bulk.producer import Producer
from tests.chaos.crew import CHILDREN, Crew
from tests.chaos.cut import cut
from tests.chaos.deck import Deck
from tests.chaos.sink import Sink
from tests.processes import DurableRedis, clean_environment

NAME = "newsletter"

#: What may happen while mails go, and how often in proportion.
KINDS = {"child killed": 6, "worker killed": 3, "connections cut": 4, "redis killed": 1}

#: Seconds of a lease: so soon what a dead worker had comes back.
LEASE = 3

#: Seconds between two looks at how far it is.
_LOOK = 0.02

#: Shares of the mails after which it is paused, and after which nobody is killed any more.
_PAUSED, _ENOUGH = 0.4, 0.9

#: Seconds for which it is paused, at least: longer than a worker believes an old list of those who want no mail.
_PAUSE = 1.2

#: Mails that a child may have in hand: a claim takes no more of them.
_HAND = 50

#: In a Redis of its own.
_NAMESPACE = "chaos"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run is to be.

    Attributes:
        rows: of the list.
        seed: of the moments and victims.
        workers: how many worker processes, of two children each.
        kills: how often the producer is killed.
        pause: seconds between two events while mails go, on average.
        late: recipients who are put on the list of those who want no mail in the middle.
        patience: seconds without any progress after which a run is given up.
        mutant: rule of the worker that is broken on purpose (`tests.chaos.mutant`).
    """

    rows: int = 50_000
    seed: int = 0
    workers: int = 2
    kills: int = 5
    pause: float = 1.0
    late: int = 200
    patience: float = 60.0
    mutant: str | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run was.

    Attributes:
        account: every row accounted for.
        events: how often what happened.
        ended: workers that ended without having been killed.
        broken: what does not hold beside the account.
        seconds: how long it took.
    """

    account: Account
    events: Mapping[str, int]
    ended: int
    broken: Sequence[str]
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
        self._random = random.Random(plan.seed)
        self._deck = Deck(KINDS, plan.pause, plan.seed)
        self._events: Counter[str] = Counter()
        self._late: list[str] = []
        self._others = 0
        #: Recipients that the relay would hear of.
        self._sent = sum(listed(number).kind in (Kind.GOOD, Kind.REFUSED) for number in range(plan.rows))
        self.broken: list[str] = []

    def run(self) -> Result:
        """Do it, and account for it."""
        began = time.monotonic()
        with ExitStack() as stack:
            self._sink = stack.enter_context(Sink(delay=0.002, refuses=REFUSING, pipelines=True))
            (self._folder / "redis").mkdir()
            self._redis = stack.enter_context(DurableRedis(self._folder / "redis"))
            self._unwanted = self._folder / "unwanted.txt"
            self._unwanted.write_text("".join(suppression(self._plan.rows)))
            self._env = self._environment()
            self._spool = RedisSpool(Server(self._redis.url, 10.0, slot_key=f"{{{_NAMESPACE}}}:"), _NAMESPACE)
            stack.callback(self._spool.close)
            mutant = self._plan.mutant
            module = ["mailworker"] if mutant is None else ["tests.chaos.mutant", mutant]
            self._crew = Crew(self._env, self._folder, self._random, self._tell, module)
            stack.callback(self._crew.end)
            self._crew.start(self._plan.workers)
            self._fill()
            self._send_until(_PAUSED)
            self._pause()
            self._send_until(_ENOUGH)
            self._settle()
            report = [json.loads(line) for line in self._cli("bulk", "report", NAME, "--json").splitlines()]
            show = json.loads(self._cli("bulk", "show", NAME, "--json"))
            # Before anybody counts: what is still on its way to the sink may come now.
            self._crew.end()
        ambiguous = self._crew.ambiguous + self._crew.too_late()
        cuts = self._events["connections cut"] + self._events["redis killed"]
        seen = Seen(
            rows=self._plan.rows,
            late=frozenset(self._late),
            copies={who: copies for who, copies in self._sink.copies.items() if not who.startswith("other")},
            refused=self._sink.refused,
            report=report,
            show=show,
            ambiguous=ambiguous,
            interrupted=ambiguous + CHILDREN * self._plan.workers * cuts,
        )
        return Result(
            account=account(seen),
            events={**dict.fromkeys(["producer killed", *KINDS], 0), **self._events},
            ended=self._crew.ended,
            broken=self.broken,
            seconds=time.monotonic() - began,
        )

    def _environment(self) -> dict[str, str]:
        return {
            **environment(write_templates(self._folder)),
            "MAILWORKER_BROKER_URL": self._redis.url,
            "MAILWORKER_SPOOL_URL": self._redis.url,
            "MAILWORKER_NAMESPACE": _NAMESPACE,
            "MAILWORKER_SUPPRESSION": str(self._unwanted),
            "MAILWORKER_LEASE": str(LEASE),
            "MAILWORKER_RETRY_SCHEDULE": "1",
            "MAILWORKER_RELAY_BACKOFF": "1",
            "EMAIL_HOST": "127.0.0.1",
            "EMAIL_PORT": str(self._sink.port),
            "EMAIL_TIMEOUT": "20",
            # Where workers that are killed leave their heartbeats.
            "TMPDIR": str(self._folder),
        }

    def _cli(self, *words: str) -> str:
        """Run `mailworker` as a person does, and return what it prints."""
        done = subprocess.run(
            [sys.executable, "-m", "mailworker", *words],
            cwd=self._folder,
            env={**clean_environment(), **self._env},
            capture_output=True,
            text=True,
            timeout=self._plan.patience,
            check=False,
        )
        assert done.returncode == 0, f"{words} ended with {done.returncode}: {done.stderr}"
        return done.stdout

    # The list comes in.

    def _fill(self) -> None:
        """Kill producers in the middle of the list, and let the last one come to its end."""
        rows, kills = self._plan.rows, self._plan.kills
        # Workers live, and would take what they may.
        self._other()
        for number, last in enumerate(sorted(self._random.sample(range(rows // 4, rows * 9 // 10), kills))):
            producer = self._producer(number)
            producer.feed(0, last)
            # What it has read and not put, and what is on its way: that dies with it.
            producer.kill()
            self._event("producer killed", f"after row {last:,}")
        producer = self._producer(kills)
        producer.feed(0, rows // 3)
        cut(self._redis.url, self._random)
        self._event("connections cut", "while the list came in")
        producer.feed(rows // 3, rows * 2 // 3)
        self._happen("redis killed")
        producer.feed(rows * 2 // 3, rows)
        self._other()
        if self._relayed():
            self.broken.append("mails went before the last row was in")
        self._check_filled(producer.finish(self._plan.patience))

    def _producer(self, number: int) -> Producer:
        return Producer(NAME, [], self._env, self._folder / f"producer-{number}.log")

    def _check_filled(self, said: Mapping[str, Any]) -> None:
        """Compare what the producer says with the list."""
        kinds: Counter[Kind] = Counter()
        lines = []
        line = 2
        for number in range(self._plan.rows):
            row = listed(number)
            kinds[row.kind] += 1
            if row.kind is Kind.BAD:
                lines.append(line)
            line += row.line.count(b"\n")
        if (said["read"], said["bad"]) != (self._plan.rows, kinds[Kind.BAD]):
            self.broken.append(f"read {said['read']} and bad {said['bad']} of a list with {self._plan.rows}, {kinds}")
        if [each["line"] for each in said["bad_rows"]] != lines[: len(said["bad_rows"])]:
            self.broken.append("bad rows are told with the wrong lines")
        if self._plan.kills and not said["known"]:
            self.broken.append("the producers that were killed had put nothing in")
        if said["read"] != sum(said[name] for name in ("new", "known", "duplicates", "suppressed", "bad")):
            self.broken.append(f"the counts of the last fill do not add up: {said}")

    # Its mails go.

    def _send_until(self, share: float) -> None:
        """Let things happen until so much of the mails is settled, or nothing moves any more."""
        wanted = share * (self._sent - self._plan.late)
        last, moved = 0, time.monotonic()
        kind, pause = self._deck.choose()
        at = time.monotonic() + pause
        while (settled := len(self._sink.copies) + len(self._sink.refused)) < wanted:
            time.sleep(_LOOK)
            now = time.monotonic()
            self._crew.restart_ended()
            if settled > last:
                last, moved = settled, now
            elif now - moved > self._plan.patience:
                self.broken.append(f"nothing has moved for {self._plan.patience:g} s")
                return
            if now >= at:
                self._happen(kind)
                kind, pause = self._deck.choose()
                at = time.monotonic() + pause

    def _happen(self, kind: str) -> None:
        if kind == "child killed":
            if not self._crew.kill_child():
                return
        elif kind == "worker killed":
            self._crew.kill_worker()
        elif kind == "connections cut":
            cut(self._redis.url, self._random)
        else:
            self._redis.kill()
            self._redis.start_again()
        self._event(kind)

    def _event(self, kind: str, more: str = "") -> None:
        self._events[kind] += 1
        self._tell(f"{kind} {more}: {len(self._sink.copies)} recipients have mail")

    # It is paused, and goes on.

    def _pause(self) -> None:
        """Pause it by the command line, see that nothing goes, and resume it."""
        self._cli("bulk", "pause", NAME, "--reason", "the price is wrong")
        at_once = self._relayed()
        # One of those that have a mail in hand dies with it, and what it had must wait as well.
        self._happen("child killed")
        self._wait(lambda bulk: not bulk.states.get(State.LEASED), "what is in hand is through")
        before = self._relayed()
        if before - at_once > CHILDREN * self._plan.workers * _HAND:
            self.broken.append(f"after it was paused {before - at_once} mails went, more than can have been in hand")
        self._suppress_late()
        began = time.monotonic()
        self._other()
        while time.monotonic() - began < _PAUSE:
            self._other()
        if self._relayed() != before:
            self.broken.append(f"while paused {self._relayed() - before} mails went")
        show = json.loads(self._cli("bulk", "show", NAME, "--json"))
        if (show["phase"], show["reason"]) != ("paused", "the price is wrong"):
            self.broken.append(f"a paused bulk is shown as {show['phase']}: {show['reason']!r}")
        self._cli("bulk", "resume", NAME)
        self._event("paused and resumed")

    def _relayed(self) -> int:
        """Count what the relay has heard of the bulk, copies and refusals."""
        copies = sum(len(each) for who, each in self._sink.copies.items() if not who.startswith("other"))
        return copies + self._sink.refused.total()

    def _suppress_late(self) -> None:
        """Put some who have no mail yet on the list of those who want none."""
        waiting = [
            row.address
            for row in map(listed, range(self._plan.rows))
            if row.kind is Kind.GOOD and row.address not in self._sink.copies
        ]
        self._late = self._random.sample(waiting, min(self._plan.late, len(waiting)))
        with self._unwanted.open("a") as file:
            file.write("".join(f"{address}\n" for address in self._late))

    def _other(self) -> None:
        """Send a mail that has nothing to do with the bulk, and wait until it is there: workers live."""
        recipient = f"other{self._others}@example.com"
        self._others += 1
        self._cli("send", "--to", recipient, "--subject", "Password", "--body", "Your link.", "--lane", "high")
        ends = time.monotonic() + self._plan.patience
        while recipient not in self._sink.copies:
            assert time.monotonic() < ends, "a mail of lane high did not go beside the bulk"
            self._crew.restart_ended()
            time.sleep(_LOOK)

    # It comes to its end.

    def _settle(self) -> None:
        self._wait(lambda bulk: not bulk.left, "it has ended")

    def _wait(self, is_so: Callable[[Bulk], bool], what: str) -> None:
        """Wait until a bulk stands so, as long as less is left each time one looks."""
        least, moved = self._plan.rows + 1, time.monotonic()
        while True:
            self._crew.restart_ended()
            bulk = self._bulk()
            if bulk is not None and is_so(bulk):
                return
            now = time.monotonic()
            if bulk is not None and bulk.left < least:
                least, moved = bulk.left, now
            elif now - moved > self._plan.patience:
                self.broken.append(f"not so after {self._plan.patience:g} s: {what}")
                return
            time.sleep(_LOOK)

    def _bulk(self) -> Bulk | None:
        try:
            return self._spool.bulks.get(NAME)
        except SpoolUnavailable:
            return None
