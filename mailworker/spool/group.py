"""A group's gate in a MemorySpool, and what a bulk keeps beside it. The rules are those of `scripts/admission.lua` and `word.lua`."""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field

from mailworker.outcome import Outcome, OutcomeClass
from mailworker.spool import rate
from mailworker.spool.base import GroupGate
from mailworker.spool.bulk import MAX_ERRORS, BulkError, Plan, Timetable
from mailworker.spool.record import Mail, State

#: States in which more will happen to a mail.
LIVE = frozenset({State.DUE, State.LEASED, State.HELD})


@dataclass(slots=True)
class Filled:
    """A bulk, beside its group: it is remembered when that is forgotten.

    Attributes:
        plan: what it is to be.
        letter: what its mails say; None once all of them are forgotten.
        began_filling_at: when its last fill began.
        number: rows that this fill has put.
        ids: of its mails, in the order of the rows.
        suppressed: mails that were suppressed when they came.
        read: rows that its fills have read.
        bad: those of them that were refused.
        last_row_at: when rows came in last.
        filled_at: when the last fill ended.
        began_at: when the first of its mails was settled.
        ended_at: when none was left last.
        forgotten: mails that are past their retention.
        outcomes: domain and class -> number, of those.
        errors: the last outcomes that were no acceptances, newest first.
        bounces: how many of its mails were settled when one was rejected.
    """

    plan: Plan
    letter: bytes | None
    began_filling_at: float
    number: int = 0
    ids: list[str] = field(default_factory=list)
    suppressed: int = 0
    read: int = 0
    bad: int = 0
    last_row_at: float | None = None
    filled_at: float | None = None
    began_at: float | None = None
    ended_at: float | None = None
    forgotten: int = 0
    outcomes: Counter[tuple[str, OutcomeClass]] = field(default_factory=Counter)
    errors: deque[BulkError] = field(default_factory=lambda: deque(maxlen=MAX_ERRORS))
    bounces: deque[int] = field(default_factory=deque)


@dataclass(slots=True)
class Group:
    """A group's gate and counts.

    Attributes:
        paused: its streams have no turn.
        reason: why it is paused.
        has_stopped_itself: it is a bulk that has paused itself.
        filling: it is a bulk whose last row has not come: its streams have no turn.
        cancelled: what is put into it is cancelled at once.
        epoch: counts its cancellations; a mail of an earlier epoch that is due or held is cancelled.
        counts: its mails by state.
        timetable: how fast its mails may go, and when.
        full_at: what is kept of the rate.
        bulk: what a bulk keeps, None if it is none.
    """

    paused: bool = False
    reason: str = ""
    has_stopped_itself: bool = False
    filling: bool = False
    cancelled: bool = False
    epoch: int = 0
    counts: Counter[State] = field(default_factory=Counter)
    timetable: Timetable = field(default_factory=Timetable)
    full_at: float = rate.UNUSED
    bulk: Filled | None = None

    @property
    def gate(self) -> GroupGate:
        """Return how it stands; one that is paused and cancelled is cancelled."""
        shut: tuple[tuple[bool, GroupGate], ...] = (
            (self.cancelled, "cancelled"),
            (self.paused, "paused"),
            (self.filling, "filling"),
        )
        for is_so, name in shut:
            if is_so:
                return name
        return "open"

    @property
    def is_kept(self) -> bool:
        """True if it is remembered without any mails: paused, or a bulk whose rows are still to come and that is not cancelled."""
        if self.bulk is None:
            return self.paused
        return not self.cancelled and (self.paused or self.bulk.filled_at is None)

    @property
    def left(self) -> int:
        """How many of its mails are not settled."""
        return sum(self.counts[state] for state in LIVE)

    def wait(self, now: float) -> float:
        """Return the seconds until its gate may let a mail pass: 0 now, infinity until a person says so, or the last row has come."""
        if self.paused or self.filling:
            return math.inf
        wait = max((self.opens_at(now) or now) - now, 0.0)
        of_rate = self.timetable.rate
        return wait if of_rate is None else max(wait, rate.wait(self.full_at, now, of_rate, self.timetable.burst))

    def opens_at(self, now: float) -> float | None:
        """Return when its window opens; None if one is open, or it has none; infinity if none comes any more."""
        if not self.timetable.windows:
            return None
        opens = next((opens for opens, closes in self.timetable.windows if closes > now), math.inf)
        return opens if opens > now else None

    def take(self, now: float) -> None:
        """Let one mail go."""
        if self.timetable.rate is not None:
            self.full_at = rate.taken(self.full_at, now, self.timetable.rate)

    def refund(self) -> bool:
        """Take one mail back that has not gone after all; tell whether another may go for it."""
        if self.timetable.rate is None or self.full_at == rate.UNUSED:
            return False
        self.full_at = rate.refunded(self.full_at, self.timetable.rate)
        return True

    def set_timetable(self, timetable: Timetable) -> None:
        """Give it another rate and other windows."""
        self.timetable, self.full_at = timetable, rate.UNUSED

    def note_settled(self, now: float) -> None:
        """Take note of a mail that has been settled, for a bulk."""
        if self.bulk is None:
            return
        self.bulk.began_at = now if self.bulk.began_at is None else self.bulk.began_at
        if not self.left:
            self.bulk.ended_at = now

    def note_error(self, mail: Mail, outcome: Outcome, now: float) -> None:
        """Remember an outcome of a row that is no acceptance."""
        if self.bulk is not None and outcome.kind is not OutcomeClass.ACCEPTED:
            self.bulk.errors.appendleft(BulkError(at=now, domain=mail.domain or "", outcome=outcome))

    def stops_itself(self) -> bool:
        """Count a mail that was rejected; if it is one too many, pause the bulk and tell so."""
        if self.bulk is None or self.bulk.plan.max_bounces is None:
            return False
        most, window = self.bulk.plan.max_bounces, self.bulk.plan.bounce_window
        settled = self.counts[State.SENT] + self.counts[State.DEAD] + self.bulk.forgotten
        bounces = self.bulk.bounces
        bounces.append(settled)
        while bounces[0] <= settled - window:
            bounces.popleft()
        if len(bounces) <= most or self.paused:
            return False
        self.paused = self.has_stopped_itself = True
        self.reason = f"{len(bounces)} of its last {min(settled, window)} mails were rejected, more than {most}"
        return True

    def take_back(self, dead: Mail) -> None:
        """Count a dead mail that goes again as rejected no more."""
        is_rejected = class_of_row(dead, State.DEAD) is OutcomeClass.REJECTED
        if self.bulk is not None and self.bulk.bounces and is_rejected:
            self.bulk.bounces.pop()


def class_of_row(mail: Mail, state: State) -> OutcomeClass | None:
    """Return the class of a row's last outcome, as long as that says what became of it."""
    if not mail.is_row or state in (State.CANCELLED, State.EXPIRED, State.DROPPED):
        return None
    return next((outcome.kind for outcome in mail.ledger.outcomes.values()), None)


def kept(state: State, mail: Mail) -> bytes:
    """Return what stays of a finished mail's payload: a row names its recipient, and of one that was not accepted nothing else does."""
    return mail.payload if mail.is_row and state is not State.SENT else b""
