"""When a batch asks whether it has to make way for a higher lane."""

from __future__ import annotations

from collections.abc import Sequence

from mailworker.delivery.preemption import Preemption
from mailworker.lane import LANES, Lane
from tests.delivery.parts import Clock


class Asker:
    """A preemption, and what it asks."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.ready = False
        self.asked: list[tuple[Lane, ...]] = []
        self.preemption = Preemption(self._has_ready, self.clock)

    def _has_ready(self, lanes: Sequence[Lane]) -> bool:
        self.asked.append(tuple(lanes))
        return self.ready

    def after(self, seconds: float) -> bool:
        self.clock.now += seconds
        return self.preemption.is_due()

    def seconds_until_asked(self) -> float:
        """Ask each 10 ms; return when the question went to the spool."""
        before = len(self.asked)
        for step in range(1, 1000):
            self.after(0.01 + 1e-9)
            if len(self.asked) > before:
                return round(step * 0.01, 2)
        raise AssertionError("it never asked")


def test_it_asks_for_the_lanes_above_its_own_alone() -> None:
    for lane, higher in [(Lane.BULK, (Lane.HIGH, Lane.NORMAL)), (Lane.NORMAL, (Lane.HIGH,))]:
        asker = Asker()
        asker.preemption.started(LANES, lane)
        asker.after(1.0)
        assert asker.asked == [higher]


def test_the_highest_of_the_lanes_that_a_worker_serves_never_asks() -> None:
    for lanes, lane in [(LANES, Lane.HIGH), ((Lane.BULK,), Lane.BULK)]:
        asker = Asker()
        asker.ready = True
        asker.preemption.started(lanes, lane)
        assert not asker.after(10.0)
        assert asker.asked == []


def test_it_asks_each_50_ms_at_most() -> None:
    asker = Asker()
    asker.preemption.started(LANES, Lane.BULK)
    for _ in range(100):
        asker.after(0.01)
    assert 16 <= len(asker.asked) <= 20


def test_it_asks_less_often_while_a_gate_keeps_the_higher_mail_back() -> None:
    asker = Asker()
    asker.ready = True
    intervals = []
    for _ in range(8):
        asker.preemption.started(LANES, Lane.BULK)
        intervals.append(asker.seconds_until_asked())
    assert intervals[:4] == [0.05, 0.1, 0.2, 0.4]
    assert intervals[-1] == 1.0


def test_it_asks_as_often_as_before_once_making_way_was_not_in_vain() -> None:
    asker = Asker()
    asker.ready = True
    for lane in (Lane.BULK, Lane.BULK, Lane.BULK):
        asker.preemption.started(LANES, lane)
        assert asker.after(1.0)
    asker.preemption.started(LANES, Lane.HIGH)
    asker.preemption.started(LANES, Lane.BULK)
    assert asker.seconds_until_asked() == 0.05


def test_mail_that_another_worker_was_faster_to_take_is_no_gate() -> None:
    asker = Asker()
    asker.ready = True
    asker.preemption.started(LANES, Lane.BULK)
    assert asker.after(1.0)
    asker.ready = False
    asker.preemption.started(LANES, Lane.BULK)
    assert not asker.after(1.0)
    assert asker.seconds_until_asked() == 0.05
