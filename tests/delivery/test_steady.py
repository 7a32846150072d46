"""A worker that cannot record stops sending, and says what it has to say until it is heard (DESIGN §8)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from mailworker import EmailMessage
from mailworker.delivery.steady import SteadySpool
from mailworker.errors import MailerUnavailable, Trouble
from mailworker.lane import LANES
from mailworker.mail.codec import Codec
from mailworker.outcome import Outcome, OutcomeClass
from mailworker.spool.base import Leased, SpoolUnavailable
from mailworker.spool.memory import MemorySpool
from mailworker.spool.record import Mail, State
from tests.delivery.parts import AwaySpool, Bench, Clock, accepted, times

TAKEN = {"a@x.org": accepted()}
LATER = {"a@x.org": Outcome(OutcomeClass.DEFERRED, None, "later")}

WORDS: list[tuple[str, Callable[[SteadySpool, Leased], bool], State]] = [
    ("done", lambda spool, leased: spool.done(leased, TAKEN), State.SENT),
    ("defer", lambda spool, leased: spool.defer(leased, 2000.0, LATER), State.DUE),
    ("snooze", lambda spool, leased: spool.snooze(leased, 2000.0), State.DUE),
    ("bury", lambda spool, leased: spool.bury(leased, LATER, "no"), State.DEAD),
    ("hold", lambda spool, leased: spool.hold(leased, LATER, "wait"), State.HELD),
]


class Worker:
    """A worker's side of a spool that holds one mail."""

    def __init__(self, **more: Any) -> None:
        self.clock = Clock()
        self.memory = MemorySpool(self.clock)
        self.spool = AwaySpool(self.memory)
        self.steady = SteadySpool(self.spool, wait=self.clock.wait, clock=self.clock, **more)
        self.memory.put([Mail(id="a" * 32, payload=b"x")])

    def claimed(self, *, marked: bool = True) -> Leased:
        (leased,) = self.steady.claim(LANES, 1, 60.0).leased
        if marked:
            assert self.steady.step(None, leased, 60.0).answer() == (False, True)
        return leased

    @property
    def state(self) -> State:
        status = self.memory.status("a" * 32)
        assert status is not None
        return status.state


@pytest.mark.parametrize(("word", "say", "state"), WORDS)
def test_a_word_that_ends_a_lease_is_said_until_it_is_taken_and_counts_once(
    word: str, say: Callable[[SteadySpool, Leased], bool], state: State
) -> None:
    worker = Worker()
    leased = worker.claimed()
    worker.spool.before, worker.spool.after = times(5, word), times(2, word)
    assert say(worker.steady, leased)
    assert len(worker.spool.named(word)) == 8
    assert worker.state is state
    assert worker.memory.status("a" * 32).attempts == (0 if word == "snooze" else 1)  # type: ignore[union-attr]


def test_the_wait_between_two_tries_grows_and_stays_short() -> None:
    worker = Worker()
    leased = worker.claimed()
    worker.spool.before = times(6, "done")
    tried: list[float] = []
    lost = worker.spool.before

    def noted(name: str) -> bool:
        tried.append(worker.clock.now)
        return lost(name)

    worker.spool.before = noted
    worker.steady.done(leased, TAKEN)
    waits = [round(later - earlier, 3) for earlier, later in pairwise(tried)]
    assert waits == [0.1, 0.2, 0.4, 0.5, 0.5, 0.5]


def test_one_absence_is_one_warning_and_one_word_of_its_end(caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker()
    with caplog.at_level(logging.INFO, "mailworker"):
        for _ in range(2):
            leased = worker.claimed()
            worker.spool.before = times(9, "snooze")
            worker.steady.snooze(leased, worker.clock.now)
    events = [(record.levelname, record.__dict__["event"]) for record in caplog.records]
    assert events == [("WARNING", "spool_away"), ("INFO", "spool_back")] * 2


def test_a_worker_that_waits_for_the_spool_shows_that_it_lives() -> None:
    beats: list[float] = []
    worker: Worker = Worker(alive=lambda: beats.append(worker.clock.now))
    leased = worker.claimed()
    worker.spool.before = times(100, "done")
    worker.steady.done(leased, TAKEN)
    assert len(worker.clock.waits) > 99
    assert max(worker.clock.waits) <= 0.25
    assert len(beats) == len(worker.clock.waits)


def test_only_a_process_that_is_killed_gives_up_and_says_what_is_not_recorded(caplog: pytest.LogCaptureFixture) -> None:
    worker: Worker = Worker(should_give_up=lambda: worker.clock.now >= 1300.0)
    leased = worker.claimed()
    worker.spool.before = times(10**6, "done")
    with caplog.at_level(logging.ERROR, "mailworker"), pytest.raises(SpoolUnavailable):
        worker.steady.done(leased, TAKEN)
    assert 1300.0 <= worker.clock.now < 1301.0
    (record,) = caplog.records
    assert f"'done' is not recorded: mail_id={'a' * 32}" in record.getMessage()


def test_a_mark_whose_answer_was_lost_is_asked_for_again_and_charges_once() -> None:
    worker = Worker()
    leased = worker.claimed(marked=False)
    worker.spool.after = times(2, "mark")
    assert worker.steady.step(None, leased, 60.0).answer() == (False, True)
    assert worker.memory.status("a" * 32).attempts == 1  # type: ignore[union-attr]


def test_a_mark_that_cannot_be_had_is_not_waited_for() -> None:
    worker = Worker()
    leased = worker.claimed(marked=False)
    worker.spool.before = times(10**6, "mark")
    step = worker.steady.step(None, leased, 60.0)
    with pytest.raises(SpoolUnavailable):
        step.answer()
    assert worker.clock.now <= 1001.0
    assert 2 <= len(worker.spool.named("mark")) <= 5


def test_a_claim_is_made_once_and_its_failure_is_the_callers() -> None:
    worker = Worker()
    worker.spool.before = times(1, "claim")
    with pytest.raises(SpoolUnavailable):
        worker.steady.claim(LANES, 1, 60.0)
    assert worker.clock.waits == []
    assert worker.steady.claim(LANES, 1, 60.0).leased


def test_the_spools_clock_is_reckoned_while_it_cannot_be_asked() -> None:
    worker = Worker()
    ahead = AwaySpool(MemorySpool(lambda: worker.clock.now + 500.0))
    steady = SteadySpool(ahead, wait=worker.clock.wait, clock=worker.clock)
    ahead.before = times(3, "now")
    assert steady.now() == pytest.approx(1500.7), "with nothing to reckon by, it waits"
    ahead.before = times(1, "now")
    worker.clock.now += 20.0
    assert steady.now() == pytest.approx(1520.7)


def test_a_spool_that_is_away_has_no_mail_to_make_way_for() -> None:
    worker = Worker()
    worker.spool.before = times(1, "has_ready")
    assert not worker.steady.has_ready(LANES)
    assert worker.steady.has_ready(LANES)


def test_no_mail_begins_before_the_one_before_it_is_recorded() -> None:
    bench = Bench()
    first, second = bench.put_several(2)
    bench.spool.before = times(30, "done")
    bench.pipeline.run()
    words = bench.spool.named("mark", "done")
    assert words == [("mark", first), *[("done", first)] * 31, ("mark", second), ("done", second)]
    assert bench.relay.taken == ["to0@x.org", "to1@x.org"]


def test_without_its_mark_a_mail_is_not_sent_and_the_rest_goes_back_uncharged_once_the_spool_is_there() -> None:
    bench = Bench()
    ids = bench.put_several(4)
    back_at = 1300.0
    began = iter([False])
    # Away from the second mark on, for five minutes: far beyond the leases of the rest.
    bench.spool.before = lambda name: bool(
        bench.clock.now < back_at and ((name == "mark" and next(began, True)) or name == "snooze")
    )
    assert bench.pipeline.run_batch() == 4
    assert bench.relay.taken == ["to0@x.org"]
    assert [bench.status(one).state for one in ids] == [State.SENT, State.DUE, State.DUE, State.DUE]
    mails = [bench.memory.get(one) for one in ids[1:]]
    assert [(mail.ledger.attempts, mail.ledger.lapses) for mail in mails if mail] == [(0, 0)] * 3
    assert bench.clock.now >= back_at
    bench.pipeline.run()
    assert sorted(bench.relay.taken) == ["to0@x.org", "to1@x.org", "to2@x.org", "to3@x.org"]


def test_a_mark_that_may_have_been_made_is_taken_back_with_the_rest() -> None:
    bench = Bench()
    (one,) = bench.put_several(1)
    bench.spool.after = times(5, "mark")
    bench.pipeline.run_batch()
    assert bench.relay.taken == []
    assert (bench.status(one).state, bench.status(one).attempts, bench.status(one).in_doubt) == (State.DUE, 0, False)


@pytest.mark.parametrize("is_relay_lost", [False, True])
def test_a_killed_worker_that_cannot_record_sends_nothing_more_and_leaves_the_mail_in_doubt(
    is_relay_lost: bool,
) -> None:
    bench: Bench = Bench(should_give_up=lambda: bench.clock.now > 1010.0)
    first, second = bench.put_several(2)

    def lose() -> None:
        if is_relay_lost:
            raise MailerUnavailable("lost", Trouble.CONNECT)

    bench.relay.at_end = lose
    # The spool is there again right after the worker gave up: what was not recorded must not look as if it were.
    bench.spool.before = lambda name: name == "done" and bench.clock.now < 1011.0
    with pytest.raises(SpoolUnavailable):
        bench.pipeline.run()
    assert bench.relay.taken == ["to0@x.org"]
    assert bench.told == []
    bench.relay.at_end = lambda: None
    bench.clock.now += 3600.0
    bench.pipeline.run()
    assert bench.status(first).in_doubt
    assert bench.status(second).state is State.SENT


def test_a_trouble_that_cannot_be_told_to_the_others_loses_no_mail() -> None:
    bench = Bench()
    (one,) = bench.put_several(1)

    def refuse() -> None:
        raise MailerUnavailable("refused", Trouble.CONNECT)

    bench.relay.on_open = refuse
    bench.spool.before = times(1, "trip")
    bench.pipeline.run()
    assert (bench.status(one).state, bench.status(one).attempts) == (State.DUE, 0)
    assert bench.status(one).next_attempt_at == 1005.0


@pytest.mark.parametrize("call", ["mailer_state", "recover"])
def test_a_recovery_that_cannot_be_told_is_told_after_the_next_batch(call: str) -> None:
    bench = Bench()
    bench.memory.trip("relay", [5.0], "down")
    bench.clock.now += 5.0
    first, second = bench.put_several(2)
    bench.spool.before = times(1, call)
    assert bench.pipeline.run_batch() == 1
    assert bench.memory.mailer_state("relay").failures == 1
    bench.pipeline.run()
    assert bench.memory.mailer_state("relay").failures == 0
    assert [bench.status(each).state for each in (first, second)] == [State.SENT] * 2


class WithLogin(Codec):
    """Opens every payload as a message that brings its own login."""

    def decode(self, payload: Any) -> EmailMessage:
        message = super().decode(payload)
        message.relay_login = ("user", "secret")
        return message


def test_a_login_that_is_refused_while_the_spool_is_away_loses_no_mail() -> None:
    bench = Bench(codec=WithLogin())
    one, two = bench.put_several(2)

    def refuse() -> None:
        raise MailerUnavailable("no", Trouble.AUTH_REFUSED)

    bench.relay.on_open = refuse
    bench.spool.before = times(9, "mark")
    bench.pipeline.run_batch()
    assert [(bench.status(each).state, bench.status(each).attempts) for each in (one, two)] == [(State.DUE, 0)] * 2
    assert len(bench.spool.named("mark")) == 5, "what one mail cannot have is not asked for by the next"
    bench.spool.before = lambda _: False
    bench.pipeline.run_batch()
    assert [(bench.status(each).state, bench.status(each).attempts) for each in (one, two)] == [(State.DUE, 1)] * 2
