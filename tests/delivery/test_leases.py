"""The keeper: it renews what is in transaction, gives back what waits, and no dot goes out without a lease (DESIGN §8)."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest

from mailworker.delivery.leases import Keeper, Watch
from mailworker.lane import LANES, Lane
from mailworker.spool.base import Leased
from mailworker.spool.memory import MemorySpool
from mailworker.spool.record import Mail, State
from tests.delivery.foreign import ForeignBackend
from tests.delivery.parts import AwaySpool, Bench, Clock, HandKeeper, times

LEASE = 60.0


class Claimed:
    """A watch over a claim of so many mails."""

    def __init__(self, number: int = 3, lease: float = LEASE) -> None:
        self.clock = Clock()
        self.memory = MemorySpool(self.clock)
        self.spool = AwaySpool(self.memory)
        self.lease = lease
        self.memory.put([Mail(id=f"{n:032x}", payload=b"x", due_at=900.0) for n in range(number)])
        self.leased = self.memory.claim(LANES, number, lease).leased
        self.watch = Watch(
            self.spool,
            self.leased,
            lease=lease,
            work_lease=lease,
            claimed_at=self.clock.now,
            clock=self.clock,
        )

    def begin(self, number: int) -> bool:
        if not self.watch.begin(self.leased[number]):
            return False
        since = self.clock.now
        assert self.memory.mark(self.leased[number], self.lease)
        self.watch.marked(self.leased[number], since)
        return True

    def states(self) -> list[State]:
        return [status.state for one in self.leased if (status := self.memory.status(one.mail.id))]

    def pass_time(self, seconds: float) -> None:
        """Let the keeper do its work for so long, at the times that it asks for."""
        ends = self.clock.now + seconds
        for _ in range(10_000):
            due_in = self.watch.attend()
            if due_in is None or self.clock.now + due_in > ends:
                self.clock.now = ends
                return
            self.clock.now += max(due_in, 0.001)
        raise AssertionError("the keeper is never done")


def test_what_is_in_transaction_is_ours_however_long_it_lasts() -> None:
    claimed = Claimed(1)
    claimed.begin(0)
    claimed.pass_time(600.0)
    assert claimed.watch.may_commit(claimed.leased[0])
    assert claimed.memory.claim(LANES, 1, LEASE).leased == ()
    assert 27 <= len(claimed.spool.named("renew")) <= 33, "each third of the lease"


def test_a_mail_that_goes_back_or_is_lost_is_not_waiting_any_more() -> None:
    claimed = Claimed(3)
    claimed.begin(0)
    assert [claimed.watch.is_waiting(one) for one in claimed.leased[1:]] == [True, True]
    claimed.spool.before = lambda name: name == "snooze"
    claimed.pass_time(5.1)
    assert [claimed.watch.is_waiting(one) for one in claimed.leased[1:]] == [False, False], "it is on its way back"
    claimed = Claimed(2)
    claimed.begin(0)
    claimed.spool.instead["renew"] = lambda *_: False
    claimed.clock.now += LEASE / 3
    claimed.watch.attend()
    assert not claimed.watch.is_waiting(claimed.leased[1])


def test_what_waits_five_seconds_behind_the_mail_in_transaction_goes_back_to_its_place_uncharged() -> None:
    claimed = Claimed(3)
    claimed.begin(0)
    claimed.pass_time(4.9)
    assert claimed.states() == [State.LEASED] * 3
    claimed.pass_time(0.2)
    assert claimed.states() == [State.LEASED, State.DUE, State.DUE]
    others = claimed.memory.claim(LANES, 9, LEASE).leased
    assert [(one.mail.id, one.mail.due_at, one.mail.ledger.attempts, one.mail.ledger.lapses) for one in others] == [
        (one.mail.id, 900.0, 0, 0) for one in claimed.leased[1:]
    ]
    assert not claimed.begin(1)
    assert claimed.watch.is_given_back(claimed.leased[1])


def test_a_batch_that_goes_on_is_not_given_back() -> None:
    claimed = Claimed(3)
    for number in range(3):
        assert claimed.begin(number)
        claimed.pass_time(4.0)
        claimed.watch.over(claimed.leased[number])
        claimed.memory.done(claimed.leased[number], {})
    assert claimed.spool.named("snooze") == []


def test_while_a_session_comes_up_all_but_the_mail_that_it_is_for_go_back() -> None:
    claimed = Claimed(3)
    claimed.pass_time(100.0)
    assert claimed.states() == [State.LEASED, State.DUE, State.DUE]
    assert claimed.begin(0)


def test_what_has_not_begun_is_renewed_too() -> None:
    claimed = Claimed(2, lease=3.0)
    claimed.pass_time(4.9)
    assert claimed.memory.claim(LANES, 1, LEASE).leased == ()
    assert claimed.begin(0)
    assert claimed.begin(1)


def test_without_a_keeper_at_work_a_stalled_worker_sends_no_dot() -> None:
    claimed = Claimed(1)
    claimed.begin(0)
    claimed.clock.now += LEASE
    assert not claimed.watch.may_commit(claimed.leased[0])


def test_too_little_time_left_is_mended_by_one_renewal_at_once() -> None:
    claimed = Claimed(1)
    claimed.begin(0)
    claimed.clock.now += LEASE - 5.0
    assert claimed.watch.may_commit(claimed.leased[0])
    assert len(claimed.spool.named("renew")) == 1
    assert claimed.watch.may_commit(claimed.leased[0])
    assert len(claimed.spool.named("renew")) == 1, "now there is enough"


@pytest.mark.parametrize(
    ("lease", "left", "allowed"), [(60.0, 5.9, False), (60.0, 6.1, True), (10.0, 1.9, False), (2.0, 1.1, True)]
)
def test_with_too_little_time_left_and_the_spool_away_there_is_no_dot(lease: float, left: float, allowed: bool) -> None:
    claimed = Claimed(1, lease)
    claimed.begin(0)
    claimed.clock.now += lease - left
    claimed.spool.before = times(9, "renew")
    assert claimed.watch.may_commit(claimed.leased[0]) is allowed


def test_a_lease_counts_from_before_the_call_that_got_it() -> None:
    claimed = Claimed(1)
    assert claimed.watch.begin(claimed.leased[0])
    since = claimed.clock.now
    assert claimed.memory.mark(claimed.leased[0], LEASE)
    claimed.clock.now += LEASE - 1.0
    # The answer took that long, and the spool cannot be asked again.
    claimed.watch.marked(claimed.leased[0], since)
    claimed.spool.before = times(9, "renew")
    assert not claimed.watch.may_commit(claimed.leased[0])


def test_a_renewal_whose_answer_took_long_is_worth_what_is_left_of_it() -> None:
    claimed = Claimed(1)
    claimed.begin(0)

    def slow(_name: str) -> bool:
        claimed.clock.now += 58.0
        return False

    claimed.clock.now += 20.0
    claimed.spool.after = slow
    claimed.watch.attend()
    claimed.spool.after = lambda _: False
    claimed.spool.before = times(9, "renew")
    assert not claimed.watch.may_commit(claimed.leased[0])


def test_a_renewal_that_is_refused_means_no_dot_whatever_our_own_clock_says() -> None:
    claimed = Claimed(1)
    claimed.begin(0)
    # The spool's clock is ahead of ours: to it the lease has run out, and another worker has the mail.
    claimed.clock.now += LEASE + 1.0
    (other,) = claimed.memory.claim(LANES, 1, LEASE).leased
    claimed.clock.now -= 30.0
    claimed.watch.attend()
    assert not claimed.watch.may_commit(claimed.leased[0])
    assert other.in_doubt


def test_a_renewal_that_failed_is_tried_again_soon() -> None:
    claimed = Claimed(1)
    claimed.begin(0)
    claimed.spool.before = times(25, "renew")
    claimed.pass_time(50.0)
    assert claimed.watch.may_commit(claimed.leased[0])


def test_what_could_not_be_given_back_goes_back_later_and_does_not_begin_meanwhile() -> None:
    claimed = Claimed(2)
    claimed.begin(0)
    claimed.spool.before = times(3, "snooze")
    claimed.pass_time(5.1)
    assert claimed.states() == [State.LEASED] * 2
    assert not claimed.begin(1)
    assert not claimed.watch.is_given_back(claimed.leased[1])
    claimed.pass_time(10.0)
    assert claimed.states() == [State.LEASED, State.DUE]
    assert claimed.watch.is_given_back(claimed.leased[1])


def test_a_mail_that_is_on_its_way_back_cannot_begin_while_the_spool_is_still_told() -> None:
    claimed = Claimed(2)
    claimed.begin(0)
    claimed.clock.now += 6.0
    began: list[bool] = []

    def begin(name: str) -> bool:
        if name == "snooze":
            began.append(claimed.watch.begin(claimed.leased[1]))
        return False

    claimed.spool.before = begin
    claimed.watch.attend()
    assert began == [False]
    assert claimed.states() == [State.LEASED, State.DUE]


def test_a_mail_whose_mark_is_on_its_way_is_not_given_back() -> None:
    claimed = Claimed(2)
    claimed.clock.now += 6.0
    assert claimed.watch.begin(claimed.leased[1])
    claimed.clock.now += 6.0
    claimed.watch.attend()
    assert claimed.spool.named("snooze") == [("snooze", claimed.leased[0].mail.id)]
    assert claimed.memory.mark(claimed.leased[1], LEASE)


def test_after_its_word_a_mail_is_let_alone() -> None:
    claimed = Claimed(2)
    claimed.begin(0)
    claimed.memory.done(claimed.leased[0], {})
    claimed.watch.over(claimed.leased[0])
    claimed.pass_time(25.0)
    assert ("renew", claimed.leased[0].mail.id) not in claimed.spool.calls
    claimed.watch.close()
    claimed.spool.calls.clear()
    assert claimed.watch.attend() is None
    assert claimed.spool.calls == []


# The keeper beside a pipeline.


def test_a_mail_in_a_long_transaction_is_sent_once_and_what_waited_behind_it_goes_to_another_worker() -> None:
    keeper = HandKeeper()
    bench = Bench(keeper=keeper)
    ids = bench.put_several(3)
    taken_over: list[Leased] = []

    def during(message: Any) -> None:
        if message.recipients() != ["to0@x.org"]:
            return
        for _ in range(300):
            bench.clock.now += 1.0
            keeper.attend()
            taken_over.extend(bench.memory.claim(LANES, 9, 600.0).leased)

    bench.relay.during = during
    bench.pipeline.run_batch()
    assert bench.relay.taken == ["to0@x.org"]
    assert sorted(one.mail.id for one in taken_over) == ids[1:]
    assert [bench.status(one).state for one in ids] == [State.SENT, State.LEASED, State.LEASED]
    assert all(bench.memory.mark(one, 60.0) for one in taken_over), "their new leases are untouched"


def test_with_a_keeper_a_dead_workers_mail_comes_back_after_its_lease() -> None:
    def die(_message: Any) -> None:
        raise KeyboardInterrupt

    for keeper, comes_back_after in [(HandKeeper(), 60.0), (None, 900.0)]:
        bench = Bench(keeper=keeper)
        bench.put()
        bench.relay.during = die
        with pytest.raises(KeyboardInterrupt):
            bench.pipeline.run()
        bench.clock.now += comes_back_after - 1.0
        assert bench.memory.claim(LANES, 1, 60.0).leased == ()
        bench.clock.now += 1.0
        assert bench.memory.claim(LANES, 1, 60.0).leased


def test_a_lease_that_is_lost_in_mid_transaction_gets_no_dot() -> None:
    keeper = HandKeeper()
    bench = Bench(keeper=keeper)
    (one,) = bench.put_several(1)
    other: list[Leased] = []

    def stall(_message: Any) -> None:
        bench.clock.now += 61.0
        other.extend(bench.memory.claim(LANES, 1, 600.0).leased)
        # Our own clock stood still meanwhile.
        bench.clock.now -= 61.0
        keeper.attend()
        bench.clock.now += 21.0
        keeper.attend()

    bench.relay.during = stall
    bench.pipeline.run_batch()
    assert bench.relay.taken == []
    assert [leased.mail.id for leased in other] == [one]
    assert bench.memory.mark(other[0], 60.0)


def test_a_worker_that_stalls_beyond_its_lease_sends_no_dot_with_nobody_to_tell_it() -> None:
    bench = Bench()
    (one,) = bench.put_several(1)
    bench.relay.seconds = 901.0
    bench.pipeline.run_batch()
    assert bench.relay.taken == []
    assert (bench.status(one).state, bench.status(one).attempts) == (State.DUE, 0)


def test_a_backend_that_keeps_no_journal_is_not_called_without_a_lease() -> None:
    backend = ForeignBackend()
    bench = Bench(backend=backend)
    first, second = bench.put_several(2)
    stalls = times(1, "mark")

    def stall(name: str) -> bool:
        if stalls(name):
            bench.clock.now += 901.0
        return False

    bench.spool.after = stall
    bench.pipeline.run_batch()
    assert [message.mail_id for message in backend.sent] == []
    assert (bench.status(first).state, bench.status(first).attempts) == (State.DUE, 0)
    bench.pipeline.run()
    assert [message.mail_id for message in backend.sent] == [first, second]


def test_the_mails_of_a_settled_claim_are_recorded_or_given_back_never_both() -> None:
    keeper = HandKeeper()
    bench = Bench(keeper=keeper)
    bench.memory.put([Mail(id=f"{n:032x}", payload=b"junk") for n in (8, 9)])
    away = times(50, "bury")

    def lost(name: str) -> bool:
        if name == "bury":
            keeper.attend()
        return away(name)

    bench.spool.before = lost
    bench.pipeline.run_batch()
    assert bench.status(f"{8:032x}").state is State.DEAD
    assert bench.status(f"{9:032x}").state is State.DUE, "it waited too long behind the first one"
    assert ("bury", f"{9:032x}") not in bench.spool.calls


# The thread.


class Steps:
    """A wait that lasts until the test says so; once it is let run, it lasts no time."""

    def __init__(self) -> None:
        self._go = threading.Semaphore(0)
        self._waiting = threading.Semaphore(0)
        self._is_free = False

    def wait(self, seconds: float) -> None:
        if self._is_free:
            return
        self._waiting.release()
        assert self._go.acquire(timeout=30)

    def until_waiting(self) -> None:
        assert self._waiting.acquire(timeout=30)

    def step(self) -> None:
        """Let the thread, which waits, go on until it waits again."""
        self._go.release()
        self.until_waiting()

    def run_free(self) -> None:
        """Let the thread run until it ends by itself."""
        self._is_free = True
        self._go.release()
        for thread in keeper_threads():
            thread.join(30)
        assert keeper_threads() == []


def keeper_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "mailworker-keeper"]


def test_a_keepers_thread_starts_with_the_first_batch_and_serves_the_next() -> None:
    steps = Steps()
    keeper = Keeper(steps.wait)
    assert keeper_threads() == []
    first = Claimed(2)
    first.begin(0)
    with keeper.guard(first.watch):
        steps.until_waiting()
        (thread,) = keeper_threads()
        assert thread.daemon
        first.clock.now += 6.0
        steps.step()
        assert first.states() == [State.LEASED, State.DUE]
    second = Claimed(2)
    second.begin(0)
    with keeper.guard(second.watch):
        assert keeper_threads() == [thread]
        second.clock.now += 6.0
        steps.step()
        assert second.states() == [State.LEASED, State.DUE]
        first.clock.now += 100.0
        steps.step()
    assert first.spool.named("renew") == [], "nobody looks after a batch that is over"
    steps.run_free()


def test_a_keepers_thread_ends_when_there_is_no_batch_and_the_next_batch_has_another() -> None:
    keeper = Keeper(lambda _: None)
    for _ in range(2):
        with keeper.guard(Claimed(1).watch):
            (thread,) = keeper_threads()
        thread.join(30)
        assert keeper_threads() == []


def test_each_slot_of_a_pool_of_threads_has_a_keeper_of_its_own() -> None:
    go = threading.Event()

    def wait(_seconds: float) -> None:
        go.wait(30)

    keeper = Keeper(wait)
    both = threading.Barrier(3)

    def work() -> None:
        with keeper.guard(Claimed(1).watch):
            both.wait(30)
            both.wait(30)

    slots = [threading.Thread(target=work) for _ in range(2)]
    for slot in slots:
        slot.start()
    both.wait(30)
    assert len(keeper_threads()) == 2
    both.wait(30)
    for slot in slots:
        slot.join(30)
    go.set()
    for thread in keeper_threads():
        thread.join(30)
    assert keeper_threads() == []


def test_a_failure_of_a_renewal_does_not_end_the_keeper(caplog: pytest.LogCaptureFixture) -> None:
    steps = Steps()
    claimed = Claimed(1)
    claimed.begin(0)
    fails = times(1, "renew")

    def broken(name: str) -> bool:
        if fails(name):
            raise RuntimeError("to0@x.org")
        return False

    claimed.spool.before = broken
    with Keeper(steps.wait).guard(claimed.watch):
        steps.until_waiting()
        for _ in range(2):
            claimed.clock.now += 21.0
            steps.step()
        assert claimed.watch.may_commit(claimed.leased[0])
        assert len(claimed.spool.named("renew")) == 2
    assert "the keeper of the leases failed: RuntimeError" in caplog.text
    assert "x.org" not in caplog.text
    steps.run_free()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_forked_child_has_a_keeper_of_its_own() -> None:
    steps = Steps()
    keeper = Keeper(steps.wait)
    with keeper.guard(Claimed(1).watch):
        steps.until_waiting()
        # The worst moment: what a thread of the parent holds, nobody lets go of in the child.
        with keeper._lock:
            pid = os.fork()
            if pid == 0:
                status = 1
                try:
                    signal.alarm(30)
                    with keeper.guard(Claimed(1).watch):
                        steps.until_waiting()
                        status = 0 if [thread.is_alive() for thread in keeper_threads()] == [True] else 2
                finally:
                    os._exit(status)
        _, answer = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(answer) == 0
    steps.run_free()


def test_a_backend_that_hangs_for_minutes_holds_its_own_mail_alone() -> None:
    """The whole of it with a real thread: the worker stands in a transaction, the keeper works beside it."""
    steps = Steps()
    bench = Bench(keeper=Keeper(steps.wait))
    ids = bench.put_several(3, Lane.BULK)

    def hang(message: Any) -> None:
        if message.recipients() == ["to0@x.org"]:
            steps.until_waiting()
            for _ in range(100):
                bench.clock.now += 3.0
                steps.step()

    bench.relay.during = hang
    bench.pipeline.run_batch()
    assert bench.relay.taken == ["to0@x.org"]
    assert [bench.status(one).state for one in ids] == [State.SENT, State.DUE, State.DUE]
    assert [bench.status(one).attempts for one in ids] == [1, 0, 0]
    steps.run_free()
