from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.spool import rate

rates = st.floats(0.01, 2000)
bursts = st.integers(1, 50)
pauses = st.lists(st.floats(0, 3), min_size=1, max_size=150)


def let_go(pauses: list[float], per_second: float, burst: int) -> list[float]:
    """Ask once after each pause; return the times at which a mail went."""
    now, full_at, went = 1_700_000_000.0, rate.UNUSED, []
    for pause in pauses:
        now += pause
        if rate.wait(full_at, now, per_second, burst) == 0:
            full_at = rate.taken(full_at, now, per_second)
            went.append(now)
    return went


@given(pauses, rates, bursts)
def test_no_stretch_of_time_sees_more_than_the_rate_and_the_burst(pauses, per_second, burst):
    went = let_go(pauses, per_second, burst)
    for first in range(len(went)):
        for last in range(first, len(went)):
            allowed = (went[last] - went[first]) * per_second + burst + 0.5
            assert last - first + 1 <= allowed + 0.01 * per_second * (last - first) * 1e-3 + 1e-3


@given(rates, bursts)
def test_an_unused_rate_lets_exactly_the_burst_go_at_once(per_second, burst):
    assert len(let_go([0.0] * (burst + 5), per_second, burst)) == burst


@given(rates, bursts, st.floats(0, 100))
def test_who_waits_as_long_as_told_is_let_go_then_and_not_before(per_second, burst, at):
    full_at = rate.UNUSED
    for _ in range(burst):
        full_at = rate.taken(full_at, at, per_second)
    wait = rate.wait(full_at, at, per_second, burst)
    assert 0 < wait <= 1 / per_second
    assert rate.wait(full_at, at + wait, per_second, burst) == 0
    assert rate.wait(full_at, at + wait / 2 - 2 * rate.TICK, per_second, burst) > 0 or wait < 10 * rate.TICK


@given(rates, bursts, st.floats(0, 100))
def test_a_refund_gives_back_what_one_mail_took(per_second, burst, at):
    full_at = rate.taken(rate.taken(rate.UNUSED, at, per_second), at, per_second)
    again = rate.taken(rate.refunded(full_at, per_second), at, per_second)
    assert again == pytest.approx(full_at)


@pytest.mark.parametrize("per_second", [0.5, 1, 14, 90])
def test_a_worker_that_is_a_little_late_each_time_loses_nothing_of_the_rate(per_second):
    now, full_at, number = 0.0, rate.UNUSED, 0
    while now < 100:
        full_at = rate.taken(full_at, now, per_second)
        number += 1
        now += rate.wait(full_at, now, per_second, 1) + min(0.4 / per_second, 0.04)
    assert number == pytest.approx(100 * per_second, abs=2)


def test_an_unused_rate_never_waits():
    assert rate.wait(rate.UNUSED, 0.0, 1e-9, 1) == 0
    assert math.isfinite(rate.taken(rate.UNUSED, 0.0, 1.0))
