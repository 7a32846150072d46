from __future__ import annotations

import pytest

from mailworker.errors import ConfigurationError
from mailworker.spool.base import Limits


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        ({"rate": 0}, "rate is 0, expected mails a second, more than 0"),
        ({"rate": -3.5}, "rate is -3.5, expected"),
        ({"rate": float("inf")}, "rate is inf, expected"),
        ({"rate": float("nan")}, "rate is nan, expected"),
        ({"sessions": 0}, "sessions is 0, expected a whole number, 1 or more"),
        ({"burst": 0}, "burst is 0, expected a whole number, 1 or more"),
        ({"domain_rate": {"a.org": 0}}, r"domain_rate\['a.org'\] is 0, expected"),
        ({"domain_concurrency": {"a.org": 0}}, r"domain_concurrency\['a.org'\] is 0, expected"),
    ],
)
def test_limits_that_make_no_sense_are_refused_in_one_sentence(bad, sentence):
    with pytest.raises(ConfigurationError, match=f"^{sentence}"):
        Limits(**bad)


def test_a_domain_is_capped_if_any_limit_names_it_in_any_case_of_letters():
    limits = Limits(domain_rate={"Slow.org": 1}, domain_concurrency={"busy.ORG": 2})
    found = {domain: limits.capped(domain) for domain in ("slow.ORG", "Busy.org", "a.slow.org", None)}
    assert found == {"slow.ORG": "slow.org", "Busy.org": "busy.org", "a.slow.org": None, None: None}
    assert Limits().capped("slow.org") is None
