"""The look of a worker's main process: when it wakes, when it looks again, and what it does while something is away."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import pytest

from mailworker.lane import Lane
from mailworker.queue.lookout import INTERVAL, Lookout
from mailworker.queue.publisher import PublishError
from mailworker.spool.base import SpoolUnavailable


class Wakes:
    """Says which lanes have something, and keeps which were woken."""

    def __init__(self, waits: Mapping[Lane, float], on_its_way: tuple[Lane, ...] = ()) -> None:
        self.waits = waits
        self.on_its_way = on_its_way
        self.woken: list[Lane] = []
        self.lookout = Lookout(lambda ahead: self.waits, lambda lane: lane not in self.on_its_way, self.woken.append)


def test_a_lane_that_is_ready_is_woken_and_one_that_will_be_is_not_yet():
    wakes = Wakes({Lane.HIGH: 0.0, Lane.BULK: 0.4})
    assert wakes.lookout.look() == pytest.approx(0.4)
    assert wakes.woken == [Lane.HIGH]


def test_nobody_is_woken_twice():
    wakes = Wakes({Lane.HIGH: 0.0, Lane.BULK: 0.0}, on_its_way=(Lane.HIGH,))
    assert wakes.lookout.look() == INTERVAL
    assert wakes.woken == [Lane.BULK]


def test_it_never_looks_in_a_hurry():
    assert Wakes({Lane.HIGH: 1e-9}).lookout.look() > 0.01


@pytest.mark.parametrize(
    "error", [SpoolUnavailable("connection refused", maybe_done=False), PublishError("gone", maybe_published=False)]
)
def test_what_is_away_is_said_once_and_asked_again(error: Exception, caplog: pytest.LogCaptureFixture):
    def fail(_: float) -> Mapping[Lane, float]:
        raise error

    answers: list[Callable[[float], Mapping[Lane, float]]] = [fail, fail, lambda _: {Lane.HIGH: 0.0}, fail]
    woken: list[Lane] = []
    rest = iter(answers)

    def answer(ahead: float) -> Mapping[Lane, float]:
        return next(rest)(ahead)

    lookout = Lookout(answer, lambda _: True, woken.append)
    assert [lookout.look() for _ in range(4)] == [INTERVAL] * 4
    assert woken == [Lane.HIGH]
    assert len(caplog.records) == 2


def test_its_thread_lives_on_whatever_a_look_raises():
    looked = threading.Semaphore(0)

    def fail(_: float) -> Mapping[Lane, float]:
        looked.release()
        if not raised:
            raised.append(True)
            raise ZeroDivisionError
        lookout.stop()
        return {}

    raised: list[bool] = []
    lookout = Lookout(fail, lambda _: True, lambda _: None)
    lookout.start()
    assert looked.acquire(timeout=10)
    assert looked.acquire(timeout=10)
    lookout._thread.join(10)
    assert not lookout._thread.is_alive()


def test_mail_that_goes_on_waiting_for_a_mailer_that_the_worker_does_not_know_is_told_once(
    caplog: pytest.LogCaptureFixture,
):
    seen: list[tuple[str, ...]] = [*[("news", "other")] * 4, *[("news",)] * 9, ("other",)]
    rest = iter(seen)
    lookout = Lookout(lambda _: {}, lambda _: True, lambda _: None, strangers=lambda: next(rest))
    for _ in seen:
        lookout.look()
    assert [record.mailer for record in caplog.records] == ["news"]  # type: ignore[attr-defined]


def test_what_is_past_its_retention_is_forgotten_now_and_then_until_nothing_is_left():
    more = [True, True, False]
    lookout = Lookout(lambda _: {}, lambda _: True, lambda _: None, tidy=lambda: more.pop(0))
    for _ in range(59):
        lookout.look()
    assert len(more) == 3
    lookout.look()
    assert more == []
