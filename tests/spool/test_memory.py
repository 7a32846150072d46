from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from typing import Any

import pytest

from mailworker.lane import LANES
from mailworker.spool.base import Limits, Spool
from mailworker.spool.gates import MailerGates
from mailworker.spool.memory import MemorySpool
from mailworker.spool.record import Mail, State
from mailworker.spool.shelf import SWEEP
from tests.spool.conformance import SpoolConformance
from tests.spool.harness import LEASE, OpenHarness, accepted, claim, claim_one, claimed_ids, put, state


class Clock:
    def __init__(self, at: float = 1_700_000_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


class MemoryHarness:
    """Threads of one process share the object, so the second worker has the same one."""

    def __init__(self, limits: Mapping[str, Limits], retention: float, gates: MailerGates | None = None) -> None:
        self.clock = Clock()
        self.spool: Spool = MemorySpool(self.clock, limits=limits, retention=retention, gates=gates)

    def advance(self, seconds: float) -> None:
        self.clock.at += seconds

    def second_worker(self) -> Spool:
        return self.spool


class TestMemorySpool(SpoolConformance):
    @pytest.fixture
    def open_harness(self) -> OpenHarness:
        def opened(*, limits: Mapping[str, Limits] = {}, retention: float = 7 * 86_400) -> MemoryHarness:
            return MemoryHarness(limits, retention)

        return opened


class Touched(Mail):
    """A mail that counts how often anybody looks at its record."""

    touches = 0

    def __getattribute__(self, name: str) -> Any:
        Touched.touches += 1
        return super().__getattribute__(name)


def put_touched(spool: Spool, number: int, **changes: Any) -> list[str]:
    ids = [f"touched{i:025d}" for i in range(number)]
    assert all(spool.put(Touched(id=i, payload=b"x", due_at=spool.now(), **changes) for i in ids))
    Touched.touches = 0
    return ids


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spool(clock: Clock) -> MemorySpool:
    return MemorySpool(clock)


def test_claims_do_not_look_at_a_mail_behind_the_gate_of_a_paused_group(spool: MemorySpool):
    put_touched(spool, 20_000, group="news")
    others = put(spool, 10)
    spool.pause_group("news")
    assert len(claimed_ids(spool, 5)) + len(claimed_ids(spool, 50)) == len(others)
    assert claim(spool) == ()
    assert Touched.touches == 0


def test_claims_do_not_look_at_a_mail_behind_a_paused_mailer(spool: MemorySpool):
    put_touched(spool, 20_000)
    spool.pause("relay")
    put(spool, 10, mailer="other")
    assert len(claim(spool)) == 10
    spool.trip("relay", [5], "connect")
    assert claim(spool) == ()
    assert Touched.touches == 0


def test_claims_look_at_no_more_mails_of_a_capped_domain_than_they_give_out(clock: Clock):
    spool = MemorySpool(
        clock, limits={"relay": Limits(domain_rate={"slow.org": 1}, domain_concurrency={"slow.org": 3})}
    )
    put_touched(spool, 20_000, domain="slow.org")
    put(spool, 100)
    assert len(claim(spool, 101)) == 101
    for_one = Touched.touches
    assert 0 < for_one < 100
    for _ in range(100):
        assert claim(spool) == ()
    assert Touched.touches == for_one
    clock.at += 1
    assert len(claim(spool)) == 1
    assert Touched.touches <= 2 * for_one


def test_pausing_and_resuming_a_group_looks_at_no_mail(spool: MemorySpool):
    put_touched(spool, 20_000, group="news")
    for _ in range(100):
        spool.pause_group("news")
        spool.resume_group("news")
    assert Touched.touches == 0


def test_cancelling_a_group_looks_at_no_mail_and_later_calls_at_a_few_each(spool: MemorySpool):
    ids = put_touched(spool, 20_000, group="news")
    spool.cancel_group("news")
    assert Touched.touches == 0
    assert spool.status_of_group("news") == {State.CANCELLED: 20_000}
    assert Touched.touches == 0
    status = spool.status(ids[-1])
    assert status is not None
    assert status.state is State.CANCELLED
    Touched.touches = 0
    assert claim(spool) == ()
    a_call = Touched.touches
    assert 0 < a_call < 50 * SWEEP
    for _ in range(20_000 // SWEEP + 2):
        claim(spool)
    Touched.touches = 0
    claim(spool)
    assert Touched.touches == 0
    assert all(mail.payload == b"" for mail in map(spool.get, ids) if mail is not None)


def test_forgetting_what_is_finished_looks_at_a_few_mails_in_each_call(clock: Clock):
    spool = MemorySpool(clock, retention=100)
    mails = put(spool, 5000)
    while leased := claim(spool):
        assert all(spool.done(one, accepted("a@a.org")) for one in leased)
    clock.at += 100
    claim(spool)
    assert len(spool._shelf._entries) == 5000 - SWEEP
    assert state(spool, mails[-1]) is None
    assert spool.stats().counts == {}
    assert not spool._shelf._entries


def test_nothing_of_a_forgotten_mail_stays_in_memory(clock: Clock):
    spool = MemorySpool(clock, retention=100, limits={"relay": Limits(domain_concurrency={"slow.org": 2})})
    for number in range(300):
        put(spool, group=f"group {number}", domain="slow.org")
        leased = claim_one(spool)
        assert spool.mark(leased, LEASE)
        assert spool.done(leased, accepted("a@slow.org"))
        clock.at += 100
    spool.stats()
    (row,) = spool._shelf.rows.values()
    assert not spool._shelf._entries
    assert not spool._shelf.groups
    assert not row._streams
    assert not row._of_group
    assert len(row._parked_by_domain.get("slow.org", ())) == 0
    assert len(row.leases) == len(row._waiting) == len(row._turns) == 0
    assert len(row.leases._heap) < 200


def test_a_breaker_is_remembered_by_the_next_spool_that_shares_the_gates(clock: Clock):
    gates = MailerGates()
    first = MemorySpool(clock, gates=gates)
    first.trip("relay", [5, 50], "connect")
    second = MemorySpool(clock, gates=gates)
    put(second, 3)
    assert claim(second) == ()
    assert second.claim(LANES, 1, LEASE).next_in == pytest.approx(5)
    clock.at += 5
    assert second.trip("relay", [5, 50], "connect") == clock.at + 50


def test_spools_that_share_their_gates_have_one_probe_out_among_them(clock: Clock):
    gates = MailerGates()
    first, second = MemorySpool(clock, gates=gates), MemorySpool(clock, gates=gates)
    put(first, 3)
    put(second, 3)
    first.trip("relay", [5], "connect")
    clock.at += 5
    probe = claim_one(first)
    assert claim(second) == ()
    assert second.claim(LANES, 1, LEASE).next_in == pytest.approx(LEASE)
    assert first.mark(probe, 500)
    clock.at += LEASE
    assert claim(second) == ()
    first.recover("relay")
    assert len(claim(second)) == 3


def test_the_probe_of_a_spool_that_was_thrown_away_holds_nobody_up_for_longer_than_its_lease(clock: Clock):
    gates = MailerGates()
    first, second = MemorySpool(clock, gates=gates), MemorySpool(clock, gates=gates)
    put(first, 3)
    put(second, 3)
    first.trip("relay", [5], "connect")
    clock.at += 5
    claim_one(first)
    del first
    clock.at += LEASE
    assert len(claim(second)) == 1


def test_spools_that_share_their_gates_share_rates_and_seats(clock: Clock):
    limits = {"relay": Limits(rate=1, burst=3, domain_concurrency={"slow.org": 2})}
    gates = MailerGates()
    first = MemorySpool(clock, limits=limits, gates=gates)
    second = MemorySpool(clock, limits=limits, gates=gates)
    put(first, 5, domain="slow.org")
    put(second, 5, domain="slow.org")
    (one, _) = claim(first)
    assert claim(second) == ()
    assert first.done(one, accepted("a@slow.org"))
    assert len(claim(second)) == 1
    put(second, 5)
    assert claim(second) == ()


def test_a_token_maker_can_be_handed_in(clock: Clock):
    numbers = count(1)
    spool = MemorySpool(clock, token=lambda: f"t{next(numbers)}")
    put(spool, 2)
    assert [leased.token for leased in claim(spool)] == ["t1", "t2"]


def test_a_clock_that_jumps_back_neither_loses_nor_doubles_a_mail(spool: MemorySpool, clock: Clock):
    put(spool, 2)
    one, two = claim(spool)
    clock.at -= 3600
    assert spool.mark(one, LEASE)
    assert spool.done(one, accepted("a@a.org"))
    assert claim(spool) == ()
    clock.at += 3600 + LEASE
    assert claimed_ids(spool) == [two.mail.id]


def test_now_is_the_clock_that_was_handed_in(spool: MemorySpool, clock: Clock):
    assert spool.now() == clock.at
