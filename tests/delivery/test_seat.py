"""The seat of a slot: taken with mail, given up with its session, and never the session without it."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest
from cryptography.fernet import Fernet

from mailworker import EmailMessage
from mailworker.delivery.connections import Login
from mailworker.delivery.seat import slot_name
from mailworker.errors import MailerUnavailable, Trouble
from mailworker.lane import LANES, Lane
from mailworker.mail.codec import Codec
from mailworker.spool.base import Limits, SpoolUnavailable
from mailworker.spool.record import Mail
from tests.delivery.parts import Bench, Clock, Relay, times

KEYS = [Fernet.generate_key().decode()]

LIMITS = {"relay": Limits(sessions=1), "second": Limits(sessions=1)}


class Session(Relay):
    """A backend whose sessions are noted."""

    def __init__(self, clock: Clock, name: str, noted: list[str]) -> None:
        super().__init__(clock)
        self._name, self._noted, self._is_open = name, noted, False

    def open(self) -> bool:
        if not self._is_open:
            super().open()
            self._is_open = True
            self._noted.append(f"open {self._name}")
        return True

    def close(self) -> None:
        if self._is_open:
            self._is_open = False
            self._noted.append(f"close {self._name}")


class SeatBench(Bench):
    """A slot "me" that delivers with limited mailers.

    Attributes:
        noted: sessions that were opened and closed, seats that were given up, wake-ups.
        sessions: the backends by mailer.
    """

    def __init__(self, limits: dict[str, Limits] | None = None, **more: Any) -> None:
        self.noted: list[str] = []
        self.sessions: dict[str, Session] = {}
        self.on_open: Any = lambda: None

        def build(mailer: str, login: Login) -> Session:
            session = Session(self.clock, mailer if login is None else f"{mailer} as {login[0]}", self.noted)
            session.on_open = self._opened
            return self.sessions.setdefault(mailer, session) if login is None else session

        super().__init__(build=build, limits=LIMITS if limits is None else limits, slot="me", **more)

        def leave(mailer: str, slot: str) -> None:
            self.memory.leave(mailer, slot)
            self.noted.append(f"{slot} leaves {mailer}")

        self.spool.instead["leave"] = leave

    def _opened(self) -> None:
        self.on_open()

    def run(self) -> int:
        return self.pipeline.run(wake_next=lambda: self.noted.append("wake"))

    def taken(self, mailer: str = "relay") -> int:
        return self.memory.mailer_state(mailer).sessions


def test_with_the_end_of_a_run_the_session_ends_and_then_the_seat_and_somebody_is_woken() -> None:
    bench = SeatBench()
    bench.put_several(3)
    assert bench.run() == 3
    assert bench.noted == ["open relay", "close relay", "me leaves relay", "wake"]
    assert bench.taken() == 0


def test_a_single_batch_keeps_nothing_either() -> None:
    bench = SeatBench()
    bench.put()
    assert bench.pipeline.run_batch() == 1
    assert bench.noted == ["open relay", "close relay", "me leaves relay"]


def test_without_a_limit_the_session_stays_and_the_spool_hears_of_no_seat() -> None:
    bench = SeatBench({})
    bench.put_several(3)
    assert bench.run() == 3
    assert bench.noted == ["open relay"]
    assert bench.spool.named("leave") == []


def test_a_slot_keeps_its_seat_from_one_claim_to_the_next_and_while_it_stays_for_mail() -> None:
    bench = SeatBench(batch_size=2)
    bench.put_several(5)
    bench.put(due_at=bench.clock.now + 0.5)
    seen: list[int] = []
    clock_wait = bench.clock.wait

    def wait(seconds: float) -> None:
        seen.append(bench.taken())
        clock_wait(seconds)

    bench.pipeline._wait = wait
    assert bench.pipeline.run(stay=1.0) == 6
    assert set(seen) == {1}
    assert bench.noted == ["open relay", "close relay", "me leaves relay"]


def test_a_slot_that_goes_on_with_another_mailer_gives_up_the_first_ones_seat() -> None:
    bench = SeatBench()
    bench.put(lane=Lane.HIGH)
    bench.put(mailer="second")
    bench.put(mailer="free", lane=Lane.BULK)
    held: list[tuple[int, int]] = []
    bench.on_open = lambda: held.append((bench.taken(), bench.taken("second")))
    bench.run()
    assert bench.noted == [
        *("open relay", "close relay", "me leaves relay", "wake"),
        *("open second", "close second", "me leaves second", "wake", "open free"),
    ]
    assert held == [(1, 0), (0, 1), (0, 0)]


def test_a_slot_that_is_refused_delivers_for_the_others_and_comes_to_an_end() -> None:
    bench = SeatBench()
    bench.put_several(5, Lane.HIGH)
    bench.memory.claim(LANES, 1, 60.0, None, "another")
    bench.put_several(2, mailer="free", lane=Lane.BULK)
    assert bench.run() == 2
    assert bench.noted == ["open free"]
    assert len(bench.spool.named("claim")) == 2
    assert bench.spool.named("has_ready") == []


def test_mail_that_only_waits_for_a_seat_makes_no_other_give_way() -> None:
    bench = SeatBench()
    bench.put_several(5, Lane.HIGH)
    bench.memory.claim(LANES, 1, 60.0, None, "another")
    bench.put_several(5, mailer="free", lane=Lane.BULK)
    bench.pipeline.run(stay=0.0)
    bench.sessions["free"].seconds = 1.0
    bench.put_several(5, mailer="free", lane=Lane.BULK)
    assert bench.run() == 5
    assert bench.spool.named("has_ready") != [], "it has asked"
    assert len(bench.spool.named("claim")) == 4, "and each five went in one batch"


def test_a_relay_in_trouble_costs_the_seat_at_once() -> None:
    bench = SeatBench()
    ids = bench.put_several(2)

    def refuse() -> None:
        raise MailerUnavailable("refused", Trouble.CONNECT)

    bench.on_open = refuse
    bench.put(mailer="free", lane=Lane.BULK)
    assert bench.memory.claim(LANES, 9, 60.0, "free", "another").leased
    bench.run()
    assert bench.noted == ["me leaves relay", "wake"]
    assert [bench.status(mail_id).attempts for mail_id in ids] == [0, 0]


def test_a_seat_that_has_run_out_by_our_clock_is_given_up_before_the_next_claim() -> None:
    bench = SeatBench(batch_size=1)
    bench.put_several(2)
    stalls = iter([2000.0, 0.0])

    def at_end() -> None:
        bench.clock.wait(next(stalls))
        bench.noted.append("batch")

    bench.on_open = lambda: setattr(bench.sessions["relay"], "at_end", at_end)
    bench.run()
    assert bench.noted == ["wake", "open relay", "batch", "close relay", "me leaves relay", "wake"] * 2


def test_no_session_is_opened_under_a_seat_that_has_run_out() -> None:
    bench = SeatBench()
    mail_id = bench.put()
    claim = bench.memory.claim

    def slow(*args: Any) -> Any:
        found = claim(*args)
        bench.clock.now += 100.0
        bench.spool.instead.pop("claim")
        bench.pipeline._should_stop = lambda: len(bench.spool.named("claim")) > 1
        return found

    bench.spool.instead["claim"] = slow
    bench.pipeline.run_batch()
    assert "open relay" not in bench.noted
    assert bench.status(mail_id).attempts == 0


def test_a_session_with_another_login_ends_before_the_next_is_opened() -> None:
    codec = Codec(KEYS)
    bench = SeatBench(codec=codec)
    logins: list[Login] = [("ann", "secret"), ("bob", "secret"), None]
    for number, login in enumerate(logins):
        payload = codec.encode(EmailMessage("s", "b", "from@example.com", ["b@x.org"]), login)
        now = bench.clock.now
        bench.memory.put([Mail(id=f"{number:032x}", payload=payload, due_at=now, created_at=now)])
    assert bench.run() == 3
    assert bench.noted == [
        *("open relay as ann", "close relay as ann", "open relay as bob", "close relay as bob"),
        *("open relay", "close relay", "me leaves relay", "wake"),
    ]


def test_a_seat_that_the_spool_cannot_be_told_of_wakes_nobody() -> None:
    bench = SeatBench()
    bench.put()
    bench.spool.before = times(1, "leave")
    bench.run()
    assert bench.noted == ["open relay", "close relay"]
    assert bench.taken() == 1, "it ends by time"


def test_the_seat_goes_also_when_the_spool_ends_the_run() -> None:
    bench = SeatBench()
    bench.put()
    seen = times(2, "claim")
    bench.spool.before = lambda name: seen(name) and len(bench.spool.named("claim")) == 2
    with pytest.raises(SpoolUnavailable):
        bench.run()
    assert bench.noted == ["open relay", "close relay", "me leaves relay", "wake"]


def test_a_slot_has_one_name_a_thread_and_a_new_one_after_a_fork() -> None:
    own = slot_name()
    assert slot_name() == own
    others: list[str] = []
    for _ in range(2):
        thread = threading.Thread(target=lambda: others.append(slot_name()))
        thread.start()
        thread.join()
    assert len({own, *others}) == 3
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.write(write, slot_name().encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 64).decode() not in {own, *others, ""}
