"""What one seed is about: how many mails and workers, and which faults happen how often.

Every seed leaves most faults out and makes some of the others frequent: a schedule in which everything happens a little
seldom gets deep into anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from mailworker.spool.base import Limits

T = TypeVar("T")

#: Names of the mailers that mails may go through.
MAILERS = ("relay", "second")

#: Names of groups that mails may belong to.
GROUPS = ("news", "receipts")


@dataclass(slots=True)
class Plan:
    """Probabilities are per draw: of a tick for what the schedule does, of a call or transaction for faults.

    Attributes:
        workers: how many.
        mails: how many new mails the producers have.
        ticks: of the schedule, before the faults stop.
        batch_size: of a claim.
        lease: seconds.
        transaction: seconds that a mark makes the lease last.
        deadline: seconds after which a worker gives a transaction up by its own clock.
        retention: seconds.
        resends: MAILWORKER_IN_DOUBT_RESENDS.
        max_attempts: as in the policy.
        give_up_after: as in the policy.
        has_keeper: workers renew the leases of what they have in hand, which last as long as those of a claim.
        pipelines: of the envelopes of messages that are ready, so many can go out behind the final dot of the one before; 0
            where the relay offers no PIPELINING.
        rendered: of the times that the relay works on something, in so many the next message is made ready.
        has_speed: a claim takes what a second can send.
        stay: seconds that a drain waits for the next mail.
        limits: of the mailers.
        uses_groups: mails have groups, and people act on them.
        is_watched: everything is checked after every step; otherwise only what the step touched, so that the spool
            is not brought up to date by being asked.
        clock: the clocks move.
        long_wait: of the times that the clocks move, so many by a lot; otherwise a little, or to where something happens.
        jump: the spool's clock jumps.
        put: a producer acts.
        series: of the times that it puts new mails in, in so many they are several alike: what one claim takes together.
        person: a person acts.
        crash: a worker dies.
        call_back: the group of a mail is cancelled right after its envelope has gone out behind a dot.
        after_envelope: a worker stands still right after that.
        after_dot: a worker dies, or stands still, right after the relay has taken a copy.
        stall: a worker stands still for a while.
        stop: a worker is asked to shut down.
        kill: of those that are, so many may no longer wait for the spool.
        outage: the spool is away for a while.
        lost_wakeup: a wake-up does not arrive.
        unmade: a spool call is never made.
        cut: the connection is lost behind the first or the second half of a step.
        lost_reply: a spool call is made and its answer lost.
        refused: the relay takes no connection.
        gone: the relay has closed a session between two messages.
        sent_away: 421 before the dot.
        dropped: the connection is lost before the dot.
        doubtful: the connection is lost after the dot.
        slow: a transaction takes long.
        deferred: 4xx for a recipient.
        rejected: 5xx for a recipient.
        at_dot: 4xx or 5xx to the dot.
    """

    workers: int
    mails: int
    ticks: int
    batch_size: int
    lease: float
    transaction: float
    deadline: float
    retention: float
    resends: int
    max_attempts: int | None
    give_up_after: float
    has_keeper: bool
    pipelines: float
    rendered: float
    has_speed: bool
    stay: float
    limits: Mapping[str, Limits]
    uses_groups: bool
    is_watched: bool
    clock: float
    long_wait: float
    jump: float
    put: float
    series: float
    person: float
    crash: float
    call_back: float
    after_envelope: float
    after_dot: float
    stall: float
    stop: float
    kill: float
    outage: float
    lost_wakeup: float
    unmade: float
    cut: float
    lost_reply: float
    refused: float
    gone: float
    sent_away: float
    dropped: float
    doubtful: float
    slow: float
    deferred: float
    rejected: float
    at_dot: float

    def quiet(self) -> None:
        """Let no fault happen any more."""
        self.clock = self.jump = self.put = self.person = self.crash = self.after_dot = 0.0
        self.call_back = self.after_envelope = 0.0
        self.stall = self.stop = self.outage = self.cut = 0.0
        self.lost_wakeup = self.unmade = self.lost_reply = self.refused = self.gone = self.sent_away = 0.0
        self.dropped = self.doubtful = self.slow = self.deferred = self.rejected = self.at_dot = 0.0
        self.is_watched = True


def plan_of(random: Random) -> Plan:
    """Draw a plan."""
    draw = random.random

    def sometimes(*rates: float, share: float = 0.4) -> float:
        return rates[int(draw() * len(rates))] if draw() < share else 0.0

    return Plan(
        workers=2 + int(draw() * 3),
        mails=2 + int(draw() * 6),
        ticks=50 + int(draw() * 130),
        batch_size=1 + int(draw() * 5),
        lease=60.0,
        transaction=300.0,
        deadline=240.0,
        retention=7 * 86_400.0 if draw() < 0.8 else 2_000.0,
        resends=_one_of(draw(), (1, 1, 1, 0, 2)),
        max_attempts=_one_of(draw(), (None, None, None, 3)),
        give_up_after=_one_of(draw(), (86_400.0, 86_400.0, 2_500.0)),
        has_keeper=draw() < 0.6,
        pipelines=_one_of(draw(), (1.0, 1.0, 1.0, 0.6, 0.0)),
        rendered=_one_of(draw(), (1.0, 1.0, 0.6, 0.2)),
        has_speed=draw() < 0.3,
        stay=1.0 if draw() < 0.5 else 0.0,
        limits=_limits(draw()),
        uses_groups=draw() < 0.5,
        is_watched=draw() < 0.65,
        clock=0.03 + sometimes(0.05, 0.1),
        long_wait=_one_of(draw(), (0.03, 0.1, 0.4)),
        jump=sometimes(0.01, 0.03, share=0.25),
        put=0.06,
        series=_one_of(draw(), (0.0, 0.5, 1.0, 1.0)),
        person=sometimes(0.02, 0.06, share=0.5),
        crash=sometimes(0.01, 0.03, 0.06, share=0.6),
        call_back=sometimes(0.5, 1.0, share=0.8),
        after_envelope=sometimes(0.2, 0.5),
        after_dot=sometimes(0.1, 0.3),
        stall=sometimes(0.01, 0.04, share=0.5),
        stop=sometimes(0.02, share=0.2),
        kill=0.5,
        outage=sometimes(0.01, share=0.2),
        lost_wakeup=sometimes(0.3, 1.0),
        unmade=sometimes(0.03, 0.15),
        cut=sometimes(0.3, 0.8, share=0.5),
        lost_reply=sometimes(0.03, 0.15),
        refused=sometimes(0.1, 0.3, share=0.25),
        gone=sometimes(0.05, 0.2, share=0.25),
        sent_away=sometimes(0.1, 0.4, share=0.25),
        dropped=sometimes(0.1, 0.3, share=0.25),
        doubtful=sometimes(0.1, 0.4),
        slow=sometimes(0.1, 0.3, share=0.25),
        deferred=sometimes(0.1, 0.3),
        rejected=sometimes(0.05, 0.2, share=0.25),
        at_dot=sometimes(0.1, 0.3, share=0.25),
    )


def _one_of(drawn: float, choices: Sequence[T]) -> T:
    return choices[int(drawn * len(choices))]


def _limits(drawn: float) -> Mapping[str, Limits]:
    if drawn < 0.65:
        return {}
    if drawn < 0.75:
        return {"relay": Limits(sessions=1), "second": Limits(sessions=1)}
    if drawn < 0.8:
        return {"relay": Limits(sessions=2)}
    if drawn < 0.85:
        return {"relay": Limits(sessions=1, rate=2.0, burst=2)}
    if drawn < 0.92:
        return {"relay": Limits(domain_concurrency={"one.example": 1})}
    return {"relay": Limits(rate=2.0, burst=2, domain_rate={"one.example": 0.2})}
