"""The one way from the spool to the relay: claim, prepare, send, decide, record (DESIGN §3).

It runs over any spool and any backend. It decides nothing by itself about a mail (`policy` does), nor whether one may go
(`turn`). What is wrong with one mail never stops the ones beside it; what is wrong with the relay pauses the mailer and
charges no mail. While the spool is away it waits, with nothing sent; SpoolUnavailable leaves it from a claim, or when it
is told that this process is being killed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial

from mailworker import log
from mailworker.delivery import attempt, block, handover, policy
from mailworker.delivery.attempt import Attempt, Settled, Withheld
from mailworker.delivery.connections import Connections, Login
from mailworker.delivery.event import Event, Events, MailerEvent
from mailworker.delivery.journal import BatchJournal
from mailworker.delivery.leases import Guard, Watch
from mailworker.delivery.preemption import Preemption
from mailworker.delivery.recorder import Recorder, Word
from mailworker.delivery.seat import Seat
from mailworker.delivery.speed import Speed
from mailworker.delivery.steady import SteadySpool
from mailworker.delivery.turn import Turn
from mailworker.errors import MailerUnavailable, Trouble
from mailworker.lane import LANES, Lane
from mailworker.mail.address import envelope_recipients
from mailworker.outcome import Outcome, OutcomeClass
from mailworker.spool.base import Claim, Leased, Spool

logger = log.get(__name__)

#: Troubles that no waiting mends: a person has to look, so the log record is an error.
_NEEDS_PERSON = frozenset({Trouble.AUTH_REFUSED, Trouble.CONFIGURATION})

#: Longest single wait for the next mail, in seconds, so that `should_stop` is heard.
_SLICE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a worker goes about a batch.

    Attributes:
        batch_size: mails that one claim takes at most.
        lease: seconds that a claim holds them.
        transaction: seconds that one transaction may last at the very most, final reply included.
        relay_backoff: seconds that a mailer pauses after its first, second, ... trouble; the last one repeats.
    """

    batch_size: int = 50
    lease: float = 60.0
    transaction: float = 900.0
    relay_backoff: Sequence[float] = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0)


#: Makes what opens rows, from what returns the letter and the plan's note of a bulk, and from the spool's clock.
MakeRows = Callable[[Callable[[str], tuple[bytes, str] | None], Callable[[], float]], attempt.Rows]


class Pipeline:
    """Delivers what a spool has ready.

    Args:
        spool: the queue.
        codec: opens payloads.
        connections: open backends.
        retry: how patient to be with a mail.
        pace: batch size, lease, deadlines.
        random: a number in [0, 1) at each call, for jitter.
        should_stop: asked before each message; True leaves it and all after it to others.
        keeper: renews leases while a transaction lasts. Without one a mark leases its mail for a whole transaction, and a
            mail whose worker died comes back only then.
        slot: the name of the worker slot that runs it; without one it gets no mail of mailers with limited sessions.
        speed: how many mails a claim takes, from what earlier ones took; None = always `pace.batch_size`.
        tell: hears what becomes of mails and mailers.
        around_batch: gives a context in which a batch is sent and told of.
        clock: monotonic seconds.
        wait: waits so many seconds.
        rows: makes what opens rows of bulks, from what fetches a letter by its bulk's name and from a clock, the spool's; None = nothing
            does.
        alive: called while the spool is waited for.
        should_give_up: True once this process is being killed, and may no longer wait for the spool.
    """

    def __init__(
        self,
        spool: Spool,
        codec: attempt.Decoder,
        connections: Connections,
        *,
        retry: policy.RetryPolicy,
        pace: Pace,
        random: Callable[[], float],
        should_stop: Callable[[], bool] = lambda: False,
        keeper: Guard | None = None,
        slot: str = "",
        speed: Speed | None = None,
        tell: Callable[[Event], None] | None = None,
        around_batch: Callable[[], AbstractContextManager[object]] = nullcontext,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
        rows: MakeRows | None = None,
        alive: Callable[[], None] = lambda: None,
        should_give_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self._unwatched = spool
        self._spool = SteadySpool(spool, wait=wait, clock=clock, alive=alive, should_give_up=should_give_up)
        self._codec = codec
        self._rows = None if rows is None else rows(self._spool.letter, self._spool.now)
        self._connections = connections
        self._retry = retry
        self._pace = pace
        self._random = random
        self._should_stop = should_stop
        self._keeper = keeper
        self._work_lease = pace.transaction if keeper is None else pace.lease
        self._speed = speed
        self._events = Events(tell)
        self._around_batch = around_batch
        self._clock = clock
        self._wait = wait
        self._recorder = Recorder(self._spool, retry, random, self._events)
        self._slot = slot
        self._seat = Seat(self._spool, connections, slot, clock)
        self._preemption = Preemption(lambda lanes: self._spool.has_ready(lanes, slot), clock)

    def run(
        self, lanes: Sequence[Lane] = LANES, *, stay: float = 0.0, wake_next: Callable[[], None] | None = None
    ) -> int:
        """Deliver until nothing is ready, or until told to stop.

        Args:
            lanes: highest first.
            stay: seconds in a row without work that it may wait for the next mail, if one is known to come.
            wake_next: called before work on a batch begins behind which there may be more, so that another worker starts,
                and when this one gives up a seat that another may have waited for.

        Returns:
            The number of mails that were claimed.

        Raises:
            SpoolUnavailable: the spool is away: at a claim, or while this process is being killed.
        """
        total = 0
        left = stay
        self._seat.when_free = _nobody if wake_next is None else partial(_woken, wake_next)
        try:
            while not self._should_stop():
                claim = self._run_batch(lanes, wake_next)
                if claim.leased:
                    total += len(claim.leased)
                    left = stay
                elif claim.next_in is None or claim.next_in > left:
                    break
                else:
                    left -= claim.next_in
                    self._rest(claim.next_in)
        finally:
            self._seat.give_up()
        return total

    def run_batch(self, lanes: Sequence[Lane] = LANES) -> int:
        """Claim one batch and deliver it; return the number of mails claimed.

        Raises:
            SpoolUnavailable: as `run` does.
        """
        try:
            return len(self._run_batch(lanes, None).leased)
        finally:
            self._seat.give_up()

    def _rest(self, seconds: float) -> None:
        while seconds > 0 and not self._should_stop():
            slice_ = min(seconds, _SLICE)
            self._wait(slice_)
            seconds -= slice_

    def _run_batch(self, lanes: Sequence[Lane], wake_next: Callable[[], None] | None) -> Claim:
        limit = self._pace.batch_size if self._speed is None else self._speed.limit()
        if self._seat.is_over():
            # The spool may have given it to another slot.
            self._seat.give_up()
        claimed_at = self._clock()
        claim = self._spool.claim(lanes, limit, self._pace.lease, self._slot)
        for one in claim.ended:
            self._recorder.ended(one)
        if not claim.leased:
            return claim
        if wake_next is not None and len(claim.leased) == limit:
            _woken(wake_next)
        mailer = claim.leased[0].mail.mailer
        self._preemption.started(lanes, claim.leased[0].mail.lane)
        size = limit if self._speed is None else self._speed.size(mailer)
        # Large mails are lighter from here on: nothing may refer to them as they were claimed.
        claim, settled, batches, withheld = self._prepared(claim, size)
        in_order = [*withheld, *(leased for leased, _ in settled)]
        in_order += [one.leased for batch in batches.values() for one in batch]
        watch = Watch(
            self._unwatched,
            in_order,
            lease=self._pace.lease,
            work_lease=self._work_lease,
            claimed_at=claimed_at,
            clock=self._clock,
        )
        turn = Turn(
            self._spool,
            watch,
            self._recorder,
            work_lease=self._work_lease,
            preemption=self._preemption,
            should_stop=self._should_stop,
            clock=self._clock,
        )
        with self._around_batch(), nullcontext() if self._keeper is None else self._keeper.guard(watch):
            self._seat.taken(claim.leased[0], watch)
            for leased in claim.leased[size:]:
                # Claimed at the pace of a faster mailer; it keeps its place in the queue.
                self._spool.snooze(leased, leased.mail.due_at)
            for leased in withheld:
                turn.give_back(leased, leased.mail.due_at)
            for leased, what in settled:
                self._settle(turn, leased, what)
            for login, batch in batches.items():
                self._deliver(turn, mailer, login, batch)
        if self._speed is not None:
            self._speed.note(mailer, turn.recorded, turn.seconds)
        return claim

    def _prepared(
        self, claim: Claim, size: int
    ) -> tuple[Claim, list[tuple[Leased, Settled]], Mapping[Login, list[Attempt]], list[Leased]]:
        """Open the first mails of a claim; close the gates of bulks whose rows cannot be opened here.

        Returns:
            The claim as its attempts have it, the mails that are settled without the relay, the others by the login that
            they need, and the mails of those bulks.
        """
        settled: list[tuple[Leased, Settled]] = []
        batches: dict[Login, list[Attempt]] = {}
        light: dict[int, Leased] = {}
        withheld: list[Leased] = []
        for place, leased in enumerate(claim.leased[:size]):
            prepared = attempt.prepare(leased, self._codec, self._retry, self._rows)
            if isinstance(prepared, Withheld):
                if leased.mail.group not in {one.mail.group for one in withheld}:
                    self._pause_bulk(leased, prepared.reason)
                withheld.append(leased)
                continue
            if isinstance(prepared, Settled):
                settled.append((leased, prepared))
                continue
            batches.setdefault(prepared.login, []).append(prepared)
            if prepared.leased is not leased:
                light[place] = prepared.leased
        if light:
            claim = replace(claim, leased=tuple(light.get(place, one) for place, one in enumerate(claim.leased)))
        return claim, settled, batches, withheld

    def _settle(self, turn: Turn, leased: Leased, settled: Settled) -> None:
        if not turn.take(leased):
            return
        if settled.broken:
            word = self._recorder.unreadable(leased, settled.broken)
        elif settled.unwanted:
            word = self._recorder.unwanted(leased, settled.unwanted)
        else:
            word = self._recorder.word(leased, settled.recipients, settled.outcomes, at_once=True)
        turn.settle(word)

    def _deliver(self, turn: Turn, mailer: str, login: Login, batch: list[Attempt]) -> None:
        journal = BatchJournal(
            batch,
            begin=lambda one: turn.begin(one.leased),
            may_follow=lambda one: turn.may_follow(one.leased),
            commit=lambda one: turn.commit(one.leased),
            record=lambda one, following: turn.record(
                lambda: self._word(turn, one), None if following is None else following.leased
            ),
            tell=turn.tell,
        )
        paused_until: float | None = None
        try:
            if turn.may_go_on() and self._seat.may_open(batch[0].leased, login):
                with self._connections.use(mailer, login) as backend:
                    handover.send(backend, batch, journal)
        except MailerUnavailable as trouble:
            turn.finish()
            turn.check()
            if login is not None and trouble.trouble in (Trouble.AUTH_REFUSED, Trouble.AUTH_TEMPORARY):
                self._login_refused(turn, journal.unsettled(), trouble)
                return
            paused_until = self._pause(mailer, trouble, len(journal.unsettled()))
            self._seat.give_up()
        else:
            turn.finish()
            turn.check()
            self._recovered(mailer, journal.reached_relay)
        for one in journal.unsettled():
            # In its old place, not behind all that has become due since.
            turn.give_back(one.leased, one.leased.mail.due_at if paused_until is None else paused_until)

    def _word(self, turn: Turn, one: Attempt) -> Word:
        if one.leased.mail.is_row and (refusal := block.refusal(one.message.outcomes.values())):
            self._pause_bulk(one.leased, f"the relay refuses us: {refusal}")
            turn.give_way()
        return self._recorder.word(one.leased, one.recipients, one.message.outcomes)

    def _pause(self, mailer: str, trouble: MailerUnavailable, mails: int) -> float:
        """Close the mailer's gate for a while; return until when."""
        jitter = 1.0 + self._retry.jitter * (2.0 * self._random() - 1.0)
        kind = trouble.trouble.value
        until = self._spool.trip(mailer, [wait * jitter for wait in self._pace.relay_backoff], f"{kind}: {trouble}")
        self._events.mailer(
            MailerEvent(kind="paused", mailer=mailer, trouble=kind, until=until),
            logging.ERROR if trouble.trouble in _NEEDS_PERSON else logging.WARNING,
            f"mailer {mailer} pauses for {until - self._spool.now():.0f} s, mails that wait: {mails} ({kind}): {trouble}",
            mails=mails,
        )
        return until

    def _pause_bulk(self, leased: Leased, reason: str) -> None:
        mail = leased.mail
        assert mail.group is not None, "a row is of a bulk"
        self._spool.pause_group(mail.group, reason)
        self._events.bulk_paused(mail.group, mail.mailer, reason)

    def _recovered(self, mailer: str, reached_relay: bool) -> None:
        if reached_relay and self._spool.recover(mailer):
            self._events.mailer(
                MailerEvent(kind="recovered", mailer=mailer), logging.INFO, f"mailer {mailer} works again"
            )

    def _login_refused(self, turn: Turn, batch: Iterable[Attempt], trouble: MailerUnavailable) -> None:
        """Defer mails whose own login was refused: that is their trouble, and not the mailer's."""
        refused = Outcome(OutcomeClass.DEFERRED, trouble.reply, str(trouble))
        for one in batch:
            kind = trouble.trouble.value
            self._events.warn(f"the login of a mail itself is refused ({kind})", one.leased.mail, trouble=kind)
            if turn.charge(one.leased):
                one.message.outcomes = dict.fromkeys(envelope_recipients(one.message), refused)
                turn.settle(self._word(turn, one))
            else:
                turn.give_back(one.leased, one.leased.mail.due_at)


def _nobody() -> None:
    """Wake nobody: none else looks after this spool."""


def _woken(wake_next: Callable[[], None]) -> None:
    try:
        wake_next()
    except Exception as error:  # noqa: BLE001 - the mails are in the spool, and a look finds them within a second
        logger.warning("the next worker could not be woken: %s", type(error).__name__)
