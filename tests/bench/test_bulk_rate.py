"""The small twin of `python -m tests.bench.bulk_rate`."""

from __future__ import annotations

import pytest

from tests.bench.bulk_rate import GOAL, measured, steady


@pytest.mark.integration
def test_four_workers_hold_the_rate_of_a_bulk_together() -> None:
    found = measured(200.0, workers=4, settle=0.5, seconds=3.0)
    # Shown when a test fails.
    print(found.each_second)
    assert found.pace == pytest.approx(200.0, rel=GOAL)


def test_the_steady_part_of_a_run_begins_after_the_burst_and_counts_each_second() -> None:
    # A burst of 20, and then 10 a second for four seconds.
    moments = [100.0] * 20 + [100.0 + (number + 0.5) / 10 for number in range(40)]
    found = steady(10.0, moments[::-1], settle=1.0, seconds=2.0)
    assert found.each_second == [10, 10]
    assert found.share == 1.0
    assert found.pace == pytest.approx(10.0)
    assert found.moments[0] == pytest.approx(1.05)
    slow = steady(20.0, moments, settle=1.0, seconds=2.0)
    assert slow.share == 0.5
