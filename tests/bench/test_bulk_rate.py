"""The small twin of `python -m tests.bench.bulk_rate`."""

from __future__ import annotations

import pytest

from tests.bench.bulk_rate import GOAL, measured, steady

#: Seconds over which the rate has to be held.
SPAN = 3.0


@pytest.mark.integration
@pytest.mark.timeout(300)  # four workers start one after the other, and the machine may be busy
def test_four_workers_hold_the_rate_of_a_bulk_together() -> None:
    rate = 100.0
    found = measured(rate, workers=4, settle=1.0, seconds=9.0)
    # Never faster, over all of it: for a moment the relay may have more, where a worker that stood still sends what it had taken.
    assert found.pace <= rate * (1 + GOAL)
    # A machine that stands still makes it slower, and no rule could make up for that: but where workers came too late, or
    # waited for each other, there would be no span at all in which it was held.
    assert max(found.paces(SPAN)) >= rate * (1 - GOAL)


def test_the_steady_part_of_a_run_begins_after_the_burst_and_counts_each_second() -> None:
    # A burst of 20, and then 10 a second for four seconds.
    moments = [100.0] * 20 + [100.0 + (number + 0.5) / 10 for number in range(40)]
    found = steady(10.0, moments[::-1], settle=1.0, seconds=2.0)
    assert found.each_second == [10, 10]
    assert found.share == 1.0
    assert found.pace == pytest.approx(10.0)
    assert found.paces(1.0) == pytest.approx([10.0] * 10)
    assert found.moments[0] == pytest.approx(1.05)
    slow = steady(20.0, moments, settle=1.0, seconds=2.0)
    assert slow.share == 0.5


def test_the_pace_is_told_of_each_span_that_is_whole() -> None:
    # Ten a second, a pause of a second, ten a second.
    moments = [number / 10 for number in range(11)] + [2 + number / 10 for number in range(11)]
    paces = steady(10.0, moments, settle=0.0, seconds=3.05).paces(1.0)
    assert paces[0] == pytest.approx(10.0)
    assert min(paces) == pytest.approx(1.0), "one that begins with the last before the pause"
    assert max(paces) == pytest.approx(10.0)
    assert len(paces) == 12
