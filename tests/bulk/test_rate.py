from __future__ import annotations

import pytest

from mailworker.bulk.rate import burst_of, parse_rate


@pytest.mark.parametrize(
    ("written", "rate"), [("200/s", 200.0), ("6000/min", 100.0), ("7200/h", 2.0), (5, 5.0), (0.5, 0.5), ("12", 12.0)]
)
def test_a_rate_is_mails_a_second(written, rate):
    assert parse_rate(written) == rate


@pytest.mark.parametrize(
    "written", ["", "fast", "0/s", "-1", 0, float("inf"), float("nan"), True, "100k/h", "5/week", None]
)
def test_what_is_no_rate_is_one_clear_error(written):
    with pytest.raises(ValueError, match=r'rate is .*, but must be a number of mails a second.*"14/s"'):
        parse_rate(written)


@pytest.mark.parametrize(("rate", "burst"), [(None, 1), (0.5, 1), (10, 1), (200, 20), (5000, 500)])
def test_what_goes_at_once_is_a_tenth_of_a_seconds_mails(rate, burst):
    assert burst_of(rate) == burst
