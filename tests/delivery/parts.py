"""What the tests of a worker's course are made of: one clock for all, a spool whose server goes away, a slow relay."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from types import MappingProxyType
from typing import Any

from mailworker import EmailMessage
from mailworker.delivery.connections import Build, Connections
from mailworker.delivery.event import Event
from mailworker.delivery.leases import Watch
from mailworker.delivery.pipeline import Pace, Pipeline
from mailworker.delivery.policy import RetryPolicy
from mailworker.lane import Lane
from mailworker.mail.backends.base import BaseEmailBackend
from mailworker.mail.codec import Codec
from mailworker.outcome import Outcome, OutcomeClass, Reply
from mailworker.spool.base import Leased, Limits, Made, SpoolUnavailable
from mailworker.spool.memory import MemorySpool
from mailworker.spool.record import Mail, MailStatus


class Clock:
    """The time of everything in a test; it moves when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


class AwaySpool:
    """A spool whose server can be away: which calls are lost on the way there, and which on the way back.

    Attributes:
        calls: names of the calls and the ids of their mails, in order, whether they arrived or not.
        before: said the name of a call, tells whether it never arrives.
        after: the same, for a call that arrives and whose answer is lost.
        instead: what answers a call of this name in the spool's place.
    """

    def __init__(self, spool: MemorySpool) -> None:
        self._spool = spool
        self.calls: list[tuple[str, str]] = []
        self.instead: dict[str, Callable[..., Any]] = {}
        self.before: Callable[[str], bool] = lambda _: False
        self.after: Callable[[str], bool] = lambda _: False

    def __getattr__(self, name: str) -> Any:
        step = self.instead.get(name) or getattr(self._spool, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append((name, args[0].mail.id if args and isinstance(args[0], Leased) else ""))
            if self.before(name):
                raise SpoolUnavailable("refused", maybe_done=False)
            answer = step(*args, **kwargs)
            if self.after(name):
                raise SpoolUnavailable("the answer is lost", maybe_done=True)
            return answer

        return call

    @property
    def bulks(self) -> Any:
        """The spool's bulks, which can be away as it can."""
        away = AwaySpool(self._spool)
        away._spool = self._spool.bulks  # type: ignore[assignment]  # what is called there is looked up by name
        away.calls, away.before, away.after = self.calls, self.before, self.after
        return away

    def step(self, done: Any, following: Leased | None, lease: float) -> Made:
        """Make the two calls of a step, each of which may be lost."""
        is_done = done is not None and self.__getattr__("done")(*done)
        return Made(is_done, following is not None and self.__getattr__("mark")(following, lease))

    def named(self, *names: str) -> list[tuple[str, str]]:
        return [call for call in self.calls if call[0] in names]


def times(number: int, *names: str) -> Callable[[str], bool]:
    """Return what is true for the first so many calls of these names."""
    left = [number]

    def lost(name: str) -> bool:
        if name not in names or not left[0]:
            return False
        left[0] -= 1
        return True

    return lost


class Relay(BaseEmailBackend):
    """A backend that keeps the journal and takes its time.

    Attributes:
        seconds: that each message takes, before its dot.
        during: called with each message while it is on its way, before the dot.
        answer: what the relay says of a message.
        at_end: called after the last message of a batch.
        taken: recipients of the messages whose dot it got.
    """

    reports_outcomes = True

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.seconds = 0.0
        self.on_open: Callable[[], None] = lambda: None
        self.during: Callable[[Any], object] = lambda _: None
        self.answer: Callable[[Any], Outcome] = lambda _: accepted()
        self.at_end: Callable[[], None] = lambda: None
        self.taken: list[str] = []

    def open(self) -> bool:
        self.on_open()
        return True

    def send_messages(self, email_messages: Sequence[Any], journal: Any = None) -> int:
        for message in email_messages:
            if not journal.beginning(message):
                continue
            self._clock.now += self.seconds
            self.during(message)
            if not journal.committing(message):
                continue
            self.taken += message.recipients()
            message.outcomes = dict.fromkeys(message.recipients(), self.answer(message))
            journal.settled(message)
        self.at_end()
        return len(self.taken)


def accepted() -> Outcome:
    return Outcome(OutcomeClass.ACCEPTED, Reply(250, "queued", "2.0.0"))


class HandKeeper:
    """A keeper without a thread: a test attends to the watch when it wants to."""

    def __init__(self) -> None:
        self.watch: Watch | None = None

    @contextmanager
    def guard(self, watch: Watch) -> Iterator[None]:
        self.watch = watch
        yield
        watch.close()

    def attend(self) -> float | None:
        assert self.watch is not None
        return self.watch.attend()


class Bench:
    """A pipeline over a spool that may be away, and a relay of ours."""

    def __init__(
        self,
        *,
        batch_size: int = 50,
        codec: Codec | None = None,
        backend: Any = None,
        build: Build | None = None,
        limits: Mapping[str, Limits] = MappingProxyType({}),
        **more: Any,
    ) -> None:
        self.clock = Clock()
        self.memory = MemorySpool(self.clock, limits=limits)
        self.spool = AwaySpool(self.memory)
        self.relay = Relay(self.clock)
        self.told: list[Event] = []
        options: dict[str, Any] = {"tell": self.told.append, "wait": self.clock.wait, **more}
        self.pipeline = Pipeline(
            self.spool,
            codec or Codec(),
            Connections(build or (lambda _mailer, _login: backend or self.relay)),
            retry=RetryPolicy(schedule=(60.0,), jitter=0.0),
            pace=Pace(batch_size=batch_size, relay_backoff=(5.0, 15.0)),
            random=lambda: 0.5,
            clock=self.clock,
            **options,
        )
        self._numbers = count()

    def put(self, *to: str, **more: Any) -> str:
        number = next(self._numbers)
        message = EmailMessage("s", "b", "from@example.com", list(to) or [f"to{number}@x.org"])
        mail_id = f"{number:032x}"
        fields = {"due_at": self.clock.now, "created_at": self.clock.now, **more}
        self.memory.put([Mail(id=mail_id, payload=Codec().encode(message), **fields)])
        return mail_id

    def put_several(self, number: int, lane: Lane = Lane.NORMAL, **more: Any) -> list[str]:
        return [self.put(lane=lane, **more) for _ in range(number)]

    def status(self, mail_id: str) -> MailStatus:
        status = self.memory.status(mail_id)
        assert status is not None
        return status
