from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.spool.breaker import CLOSED, Breaker

backoffs = st.lists(st.floats(0.1, 1e4), min_size=1, max_size=6)


def test_a_breaker_without_failures_never_waits():
    assert CLOSED.wait(0.0) == 0
    assert Breaker(probe="t", probe_until=50).wait(0.0) == 0


@given(backoffs, st.integers(1, 20))
def test_the_nth_trouble_in_a_row_waits_for_the_nth_number_and_the_last_repeats(backoff, troubles):
    breaker, now = CLOSED, 1000.0
    for number in range(1, troubles + 1):
        breaker = breaker.tripped(backoff, f"trouble {number}", now)
        assert breaker.failures == number
        assert breaker.wait(now) == pytest.approx(backoff[min(number, len(backoff)) - 1])
        now += breaker.wait(now) + 1e-6
        assert breaker.wait(now) == 0


@given(backoffs, st.floats(0, 0.99), st.integers(1, 30))
def test_troubles_reported_during_a_pause_neither_count_nor_prolong_it(backoff, share, reports):
    breaker = CLOSED.tripped(backoff, "first", 0.0)
    until = breaker.paused_until
    for _ in range(reports):
        breaker = breaker.tripped(backoff, "latest", share * backoff[0])
    assert (breaker.failures, breaker.paused_until, breaker.reason) == (1, until, "latest")


def test_a_probe_holds_the_others_back_until_its_lease_ends():
    breaker = CLOSED.tripped([5], "x", 0.0).probing("t", 65.0)
    assert breaker.wait(5.0) == 60
    assert breaker.wait(65.0) == 0
    assert breaker.without("another").wait(5.0) == 60
    assert breaker.without("t").wait(5.0) == 0
    assert breaker.without("t").failures == 1


def test_a_trouble_forgets_the_probe_that_met_it():
    breaker = CLOSED.tripped([5, 10], "x", 0.0).probing("t", 500.0).tripped([5, 10], "y", 6.0)
    assert (breaker.probe, breaker.wait(16.0), breaker.reason) == (None, 0.0, "y")


def test_a_trouble_without_a_backoff_is_a_mistake():
    with pytest.raises(ValueError, match="expected at least one number of seconds"):
        CLOSED.tripped([], "x", 0.0)
