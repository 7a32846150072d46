from __future__ import annotations

import pytest

from mailworker.cli.rate import rate_shown


@pytest.mark.parametrize(
    ("a_second", "shown"),
    [
        (14, "14/s"),
        (1.5, "1.5/s"),
        (5000 / 60, "5000/min"),
        (100_000 / 3600, "100000/h"),
        (0.01, "36/h"),
        (1 / 3, "20/min"),
        (3 / 86_400, "3/day"),
        (0.5 / 86_400, "0.5/day"),
        (1234.567, "1234.57/s"),
        (2_000_000, "2000000/s"),
    ],
)
def test_a_rate_is_shown_as_it_was_written(a_second, shown):
    assert rate_shown(a_second) == shown
