"""The schedule of one seed: who makes the next step, when time passes, who dies; and after it a time without faults.

Everything follows from the seed. A seed that breaks a promise does so again, step by step, whenever it is run.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from mailworker.delivery.pipeline import Pipeline
from mailworker.spool.memory import MemorySpool
from mailworker.spool.record import State
from tests.simulation import promises
from tests.simulation.known import KnownLease
from tests.simulation.people import People, Producers
from tests.simulation.plan import plan_of
from tests.simulation.worker import Keeper, Worker
from tests.simulation.world import Broken, World

#: Steps that a seed may take after the faults have stopped; each mail needs a handful.
PATIENCE = 5_000


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one seed.

    Attributes:
        seed: which one.
        steps: how many there were.
        broken: the promise that was broken, None if all were kept.
        reached: what it has come to, and how often.
        log: what happened, if that was asked for.
    """

    seed: int
    steps: int
    broken: Broken | None
    reached: Counter[str]
    log: list[str] | None


def simulate(
    seed: int,
    *,
    spool_class: type[MemorySpool] = MemorySpool,
    pipeline_class: type[Pipeline] = Pipeline,
    keeps_log: bool = False,
) -> Result:
    """Run one seed.

    Args:
        seed: any number.
        spool_class: the spool that is held to the promises.
        pipeline_class: the pipeline that the workers run.
        keeps_log: note what happens; the seed takes the same course without it.
    """
    random = Random(seed)
    world = World(random, plan_of(random), spool_class, [] if keeps_log else None)
    schedule = _Schedule(world, pipeline_class)
    try:
        schedule.run()
    except Broken as broken:
        return Result(seed, world.step, broken, world.reached, world.log)
    finally:
        schedule.close()
    return Result(seed, world.step, None, world.reached, world.log)


@contextmanager
def silence() -> Iterator[None]:
    """Keep mailworker's own log quiet: the workers of a seed have thousands of warnings to give."""
    logger = logging.getLogger("mailworker")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


class _Schedule:
    def __init__(self, world: World, pipeline_class: type[Pipeline]) -> None:
        self._world = world
        self._pipeline_class = pipeline_class
        self._producers = Producers(world)
        self._people = People(world)
        self._born = 0
        self._workers: list[Worker] = []
        for _ in range(world.plan.workers):
            self._hire()

    def run(self) -> None:
        """Run the seed to its end.

        Raises:
            Broken: a promise was broken.
        """
        plan, chance = self._world.plan, self._world.chance
        events: list[tuple[float, Callable[[], None]]] = []
        until = 0.0
        for rate, event in (
            (plan.put, self._producers.act),
            (plan.clock, self._move_clock),
            (plan.person, self._people.act),
            (plan.crash, self._crash),
            (plan.stall, self._stall),
            (plan.jump, self._jump_clock),
            (plan.stop, self._stop_one),
            (plan.outage, self._lose_spool),
        ):
            if rate:
                until += rate
                events.append((until, event))
        self._producers.act()
        for _ in range(plan.ticks):
            drawn = chance()
            if drawn < until:
                for limit, event in events:
                    if drawn < limit:
                        event()
                        break
            else:
                self._go_on()
            self._check()
        self._come_to_rest()

    def close(self) -> None:
        """Let nothing of the seed live on."""
        for worker in self._workers:
            worker.die()

    def _check(self) -> None:
        world = self._world
        if world.broken is None:
            promises.after_step(world)
        if world.broken is not None:
            raise world.broken
        world.step += 1

    def _go_on(self) -> None:
        """Let a worker that has something to do make a step; if nobody has, let time pass."""
        world = self._world
        ready = self._ready()
        if ready:
            ready[int(world.chance() * len(ready))].go_on()
            if world.has_just_sent:
                self._after_dot(world.has_just_sent)
            if world.has_just_gone_ahead is not None:
                self._after_envelope(world.has_just_gone_ahead)
        else:
            self._move_clock()

    def _after_dot(self, name: str) -> None:
        """Hit a worker where it hurts: the relay has its mail, and the spool does not know."""
        world = self._world
        world.has_just_sent = ""
        if world.chance() < world.plan.after_dot:
            worker = next(worker for worker in self._workers if worker.name == name)
            (self._end if world.chance() < 0.5 else self._hold_up)(worker)

    def _after_envelope(self, lease: KnownLease) -> None:
        """Take a mail away, or its worker the time, when its envelope has gone out and its work has not begun."""
        world, group = self._world, lease.mail.mail.group
        world.has_just_gone_ahead = None
        if group is not None and world.chance() < world.plan.call_back:
            self._people.call_back(group)
        for worker in self._workers:
            if worker.name == lease.worker and world.chance() < world.plan.after_envelope:
                self._hold_up(worker)

    def _ready(self) -> list[Worker | Keeper]:
        ready: list[Worker | Keeper] = [worker for worker in self._workers if worker.is_ready()]
        ready += [worker.keeper for worker in self._workers if worker.keeper is not None and worker.keeper.is_ready()]
        return ready

    def _hire(self) -> None:
        self._born += 1
        self._workers.append(Worker(self._world, f"worker{self._born}", self._pipeline_class))

    def _any(self) -> Worker:
        return self._workers[int(self._world.chance() * len(self._workers))]

    def _move_clock(self) -> None:
        world, chance = self._world, self._world.chance
        if chance() < world.plan.long_wait:
            seconds = (400 if chance() < 0.7 else 5_000) * chance()
        elif chance() < 0.5:
            seconds = 2 * chance()
        else:
            seconds = self._until_next() or 60 * chance()
        world.let_pass(seconds)
        world.note("clock", f"{seconds:.3f} s pass")

    def _jump_clock(self) -> None:
        world, chance = self._world, self._world.chance
        seconds = -2.0 * chance() if chance() < 0.5 else 400 * chance()
        world.jump(seconds)
        world.note("clock", f"the spool's clock jumps by {seconds:.3f} s")

    def _until_next(self) -> float | None:
        """Return the seconds until a mail comes due, a lease runs out or a worker wakes up; None if nothing will."""
        world = self._world
        times = []
        end = world.next_end_of_lease()
        if end is not None:
            times.append(end - world.now)
        for known in world.in_state(State.DUE):
            status = world.spool.status(known.mail.id)
            if status is not None and status.next_attempt_at is not None:
                times.append(status.next_attempt_at - world.now)
        for worker in self._workers:
            times.append(worker.sleeps_until - world.monotonic)
            if worker.keeper is not None and worker.keeper.is_awake:
                times.append(worker.keeper.sleeps_until - world.monotonic)
        return min((seconds for seconds in times if seconds > 0), default=None)

    def _crash(self) -> None:
        self._end(self._any())

    def _end(self, worker: Worker) -> None:
        self._world.note(worker.name, "dies")
        worker.die()
        self._workers.remove(worker)
        self._hire()

    def _stall(self) -> None:
        self._hold_up(self._any())

    def _hold_up(self, worker: Worker) -> None:
        seconds = 700 * self._world.chance()
        worker.stall(seconds)
        self._world.note(worker.name, f"stands still for {seconds:.0f} s")

    def _stop_one(self) -> None:
        worker = self._any()
        worker.is_stopping = True
        # Who is being killed is not spared by a second, softer word.
        worker.is_killed |= self._world.chance() < self._world.plan.kill
        self._world.note(worker.name, f"is to shut down{', at once' * worker.is_killed}")

    def _lose_spool(self) -> None:
        world = self._world
        seconds = 100 * world.chance()
        world.is_spool_away_until = world.now + seconds
        world.note("spool", f"is away for {seconds:.0f} s")

    def _come_to_rest(self) -> None:
        """Stop the faults, open the gates, and let the workers finish."""
        world = self._world
        world.note("schedule", "no more faults")
        world.plan.quiet()
        world.is_spool_away_until = 0.0
        for worker in self._workers:
            worker.is_stopping = worker.is_killed = False
        self._people.open_all()
        self._producers.finish()
        self._check()
        wait = 1.0
        for _ in range(PATIENCE):
            ready = self._ready()
            if ready:
                ready[0].go_on()
            else:
                if not any(known.state in (State.DUE, State.LEASED) for known in world.mails.values()) and all(
                    worker.is_idle for worker in self._workers
                ):
                    break
                seconds = self._until_next() or wait
                wait = min(wait * 2, 600.0)
                world.let_pass(seconds)
            self._check()
        promises.at_rest(world)
        self._check()
