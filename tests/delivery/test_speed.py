"""A batch is what about a second can send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.delivery.speed import Speed


def after(*batches: tuple[str, int, float], most: int = 50) -> Speed:
    speed = Speed(most)
    for mailer, mails, seconds in batches:
        speed.note(mailer, mails, seconds)
    return speed


def test_before_anything_is_known_a_claim_is_small() -> None:
    assert (Speed(50).limit(), Speed(3).limit()) == (5, 3)


def test_a_fast_relay_doubles_the_batch_up_to_the_most() -> None:
    speed = Speed(50)
    sizes = []
    for _ in range(5):
        speed.note("relay", speed.limit(), speed.limit() * 0.001)
        sizes.append(speed.limit())
    assert sizes == [10, 20, 40, 50, 50]


def test_a_relay_that_takes_100_ms_a_mail_gets_ten_at_a_time() -> None:
    assert after(*[("relay", 5, 0.5)] * 10).limit() == 10


def test_a_relay_that_takes_a_minute_gets_one_at_a_time() -> None:
    assert after(("relay", 1, 60.0)).limit() == 1


def test_a_relay_that_becomes_slow_is_known_after_one_batch() -> None:
    fast = [("relay", 50, 0.05)] * 5
    assert after(*fast).limit() == 50
    assert after(*fast, ("relay", 50, 50.0)).limit() == 1


def test_a_backend_whose_time_cannot_be_measured_is_fast() -> None:
    assert after(*[("relay", 50, 0.0)] * 5).limit() == 50


def test_a_batch_of_which_nothing_was_sent_teaches_nothing() -> None:
    assert after(("relay", 0, 0.0)).size("relay") == 5


def test_a_slow_mailer_does_not_slow_down_a_fast_one() -> None:
    speed = after(*[("fast", 50, 0.05), ("slow", 1, 1.0)] * 5)
    assert (speed.size("fast"), speed.size("slow"), speed.limit()) == (50, 1, 50)


def test_a_mailer_that_has_had_no_mail_of_late_does_not_count() -> None:
    assert after(*[("fast", 50, 0.05)] * 5, *[("slow", 1, 1.0)] * 4).limit() == 1


@given(
    st.integers(1, 1000),
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 1000), st.floats(0.0, 1e6))),
)
def test_a_claim_is_never_empty_and_never_above_the_most(most: int, batches: list[tuple[str, int, float]]) -> None:
    speed = Speed(most)
    for mailer, mails, seconds in batches:
        speed.note(mailer, mails, seconds)
        assert 1 <= speed.size(mailer) <= most
        assert 1 <= speed.limit() <= most


@pytest.mark.parametrize("seconds_each", [0.004, 0.02, 0.09, 0.24])
def test_the_size_settles_where_a_batch_takes_a_second(seconds_each: float) -> None:
    speed = Speed(1000)
    for _ in range(20):
        speed.note("relay", speed.limit(), speed.limit() * seconds_each)
    assert 0.7 <= speed.limit() * seconds_each <= 1.0
