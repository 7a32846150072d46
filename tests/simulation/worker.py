"""A worker of the simulation: the real pipeline in a greenlet that gives way at every step, and that can die there.

What the schedule decides about it (its turn, a stall, its death) is told to it from outside; it knows when it has
nothing to do until somebody wakes it. Its keeper is a greenlet of its own, as it is a thread in a process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

from greenlet import getcurrent, greenlet  # type: ignore[import-untyped]

from mailworker.delivery.connections import Connections, Login
from mailworker.delivery.leases import Watch
from mailworker.delivery.pipeline import Pace, Pipeline
from mailworker.delivery.policy import RetryPolicy
from mailworker.delivery.speed import Speed
from mailworker.lane import LANES
from mailworker.spool.base import Spool, SpoolUnavailable
from tests.simulation import promises
from tests.simulation.access import Access
from tests.simulation.known import KnownLease
from tests.simulation.message import Decoder
from tests.simulation.relay import Backend
from tests.simulation.world import World

#: Seconds between two looks of an idle worker.
LOOK = 1.0

#: Seconds that a keeper sleeps at most.
KEEPER_SLICE = 0.5


class Death(GeneratorExit):
    """Raised in a worker that is no more, at the step where it stood; nothing it does while unwinding has an effect.

    A GeneratorExit, since that is what the pipeline never takes for a failure of a backend.
    """


class _Connections(Connections):
    """Without the thread that closes idle ones: time here is the schedule's.

    Attributes:
        opening: called with the mailer before a session is asked for.
    """

    opening: Callable[[str], None]

    def _open(self, slot: Any, mailer: str) -> None:
        self.opening(mailer)
        super()._open(slot, mailer)

    def _start_reaper(self) -> None:
        pass


class Worker:
    """One worker process.

    Args:
        world: where it works.
        name: for the log.
        pipeline_class: which pipeline it runs.

    Attributes:
        keeper: looks after its leases; None if the plan has none.
        leases: mail id -> the last lease that this worker claimed on it.
        sleeps_until: by the workers' clock.
        is_idle: it has found nothing to do.
        is_stopping: it has been asked to shut down.
        is_killed: it may no longer wait for the spool.
        is_dead: it is no more.
    """

    def __init__(self, world: World, name: str, pipeline_class: type[Pipeline]) -> None:
        self.world = world
        self.name = name
        self.leases: dict[str, KnownLease] = {}
        self.sleeps_until = 0.0
        self.is_idle = False
        self.is_stopping = False
        self.is_killed = False
        self.keeper = Keeper(self) if world.plan.has_keeper else None
        self._looks_at = 0.0
        self.is_dead = False
        self._schedule = getcurrent()
        self._greenlet = greenlet(self._work)
        self._pipeline = self._built(pipeline_class)

    # For the schedule.

    def is_ready(self) -> bool:
        """Tell whether it would do something, if it had its turn."""
        if self.sleeps_until > self.world.monotonic:
            return False
        if not self.is_idle:
            return True
        return self.world.has_wakeup or (self._looks_at <= self.world.monotonic and self.world.has_ready())

    def go_on(self) -> None:
        """Let it make one step."""
        self._greenlet.switch()

    def stall(self, seconds: float) -> None:
        """Let the whole process stand still where it is."""
        self.sleeps_until = max(self.sleeps_until, self.world.monotonic + seconds)
        if self.keeper is not None:
            self.keeper.sleeps_until = self.sleeps_until

    def die(self) -> None:
        """End it where it stands."""
        self.is_dead = True
        self.world.worker_died(self.name)
        for thread in (self._greenlet, None if self.keeper is None else self.keeper.greenlet):
            if thread:
                thread.throw(Death)

    # For what runs inside.

    def pause(self) -> None:
        """Give way before a step.

        Raises:
            Death: the worker has died meanwhile.
        """
        if not self.is_dead:
            self._schedule.switch()
        if self.is_dead:
            raise Death

    def sleep(self, seconds: float) -> None:
        """Give way for a while."""
        self.sleeps_until = max(self.sleeps_until, self.world.monotonic + seconds)
        self.pause()

    def _built(self, pipeline_class: type[Pipeline]) -> Pipeline:
        world, plan = self.world, self.world.plan

        def clock() -> float:
            return world.monotonic

        def backend(mailer: str, login: Login) -> Backend:
            return Backend(world, self, mailer)

        connections = _Connections(backend, idle_timeout=9.0, clock=clock)
        connections.opening = lambda mailer: world.before_open(self.name, mailer)
        return pipeline_class(
            cast("Spool", Access(world, self)),
            cast("Any", Decoder()),
            connections,
            retry=RetryPolicy(
                schedule=(60.0, 300.0, 900.0),
                max_attempts=plan.max_attempts,
                give_up_after=plan.give_up_after,
                in_doubt_resends=plan.resends,
            ),
            pace=Pace(
                batch_size=plan.batch_size,
                lease=plan.lease,
                transaction=plan.transaction,
                relay_backoff=(5.0, 15.0, 60.0),
            ),
            random=world.chance,
            should_stop=lambda: self.is_stopping,
            keeper=self.keeper,
            slot=self.name,
            speed=Speed(plan.batch_size) if plan.has_speed else None,
            tell=lambda event: promises.at_event(world, self.leases, event),
            clock=clock,
            wait=self.sleep,
            should_give_up=lambda: self.is_killed,
        )

    def _work(self) -> None:
        with suppress(Death):
            while True:
                self._drain()
                self._be_idle()

    def _drain(self) -> None:
        try:
            self._pipeline.run(LANES, stay=self.world.plan.stay, wake_next=self._wake_next)
        except SpoolUnavailable:
            if self.is_killed:
                self.world.note(self.name, "ends without having recorded everything")
                self.world.worker_died(self.name)
                self.leases.clear()
        except Exception as error:  # noqa: BLE001 - nothing may come out of it
            self.world.fail("no error", f"the pipeline raised {type(error).__name__}: {error}")
        promises.at_end_of_drain(self.world, self.leases.values())
        self.world.after_drain(self.name)

    def _wake_next(self) -> None:
        self.world.wake()

    def _be_idle(self) -> None:
        if self.is_stopping:
            self.world.note(self.name, "has shut down, and starts again")
            self.is_stopping = self.is_killed = False
        self.is_idle = True
        self._looks_at = self.world.monotonic + LOOK
        self.pause()
        self.is_idle = False
        self.world.has_wakeup = False


class Keeper:
    """The thread that renews a worker's leases: what `leases.Keeper` is, with the schedule's time.

    Attributes:
        greenlet: it.
        sleeps_until: by the workers' clock.
    """

    def __init__(self, worker: Worker) -> None:
        self.greenlet = greenlet(self._work)
        self.sleeps_until = 0.0
        self._worker = worker
        self._watch: Watch | None = None
        self._is_attending = False

    @property
    def is_awake(self) -> bool:
        """Tell whether it has something to look after, now or later."""
        return self._watch is not None or self._is_attending

    def is_ready(self) -> bool:
        """Tell whether it would do something, if it had its turn."""
        return self.is_awake and self.sleeps_until <= self._worker.world.monotonic

    def go_on(self) -> None:
        """Let it make one step."""
        self.greenlet.switch()

    @contextmanager
    def guard(self, watch: Watch) -> Iterator[None]:
        """Look after a watch for as long as the context lasts."""
        self._watch = watch
        try:
            yield
        finally:
            watch.close()
            self._watch = None

    def _work(self) -> None:
        with suppress(Death):
            while True:
                due_in: float | None = None
                if self._watch is not None:
                    self._is_attending = True
                    try:
                        due_in = self._watch.attend()
                    except Exception as error:  # noqa: BLE001 - the thread lives through it, and hides it
                        self._worker.world.fail("no error", f"the keeper raised {type(error).__name__}: {error}")
                    self._is_attending = False
                pause = KEEPER_SLICE if due_in is None else min(max(due_in, 0.01), KEEPER_SLICE)
                self.sleeps_until = max(self.sleeps_until, self._worker.world.monotonic + pause)
                self._worker.pause()
