"""A mailer's limits: read from its options, kept from its backend, refused in one sentence where they are malformed."""

from __future__ import annotations

import json
import pickle

import pytest

from mailworker.settings import QUEUE_BACKEND, MailerLimits, Settings
from mailworker.spool.base import Limits


def relay(**options):
    return Settings(MAILERS={"relay": {"OPTIONS": {"host": "h", **options}}}).mailer("relay")


def test_a_mailer_without_limits_has_none():
    for mailer in (relay(), Settings().mailer("relay"), Settings().mailer("default")):
        assert mailer.limits == MailerLimits()
        assert not mailer.limits.is_set


@pytest.mark.parametrize(
    ("written", "rate"),
    [
        ("14/s", 14.0),
        ("90/m", 1.5),
        ("90/min", 1.5),
        ("5400/h", 1.5),
        ("43200/d", 0.5),
        ("0.5/s", 0.5),
        (" 14 / s ", 14.0),
        ("14", 14.0),
        (14, 14.0),
        (0.25, 0.25),
    ],
)
def test_a_rate_is_mails_a_second(written, rate):
    assert relay(rate=written).limits == MailerLimits(rate=rate)
    assert relay(domain_rate={"example.com": written}).limits == MailerLimits(domain_rate={"example.com": rate})
    assert relay(rate=written).limits.is_set


def test_limits_are_no_options_of_the_backend_and_are_what_the_spool_takes():
    mailer = relay(rate="100/m", burst=5, domain_rate={"GMail.com": "2/s"}, domain_concurrency={"xn--bcher-kva.de": 2})
    assert dict(mailer.options) == {"host": "h"}
    limits = mailer.limits
    assert limits == MailerLimits(100 / 60, 5, {"gmail.com": 2.0}, {"xn--bcher-kva.de": 2})
    kept = Limits(limits.rate, limits.burst, limits.domain_rate, limits.domain_concurrency)
    assert (kept.rate, kept.capped("gmail.COM")) == (limits.rate, "gmail.com")
    assert pickle.loads(pickle.dumps(mailer)) == mailer
    assert hash(mailer) == hash(relay(rate="100/m", burst=5))


def test_limits_come_from_the_environment_too(monkeypatch):
    monkeypatch.setenv("MAILERS", json.dumps({"relay": {"OPTIONS": {"rate": "14/s", "burst": 2}}}))
    assert Settings().mailer("relay").limits == MailerLimits(rate=14.0, burst=2)


@pytest.mark.parametrize(
    "rate", ["14/w", "-1/s", "0/s", "x", "", "1e9/s", 0, -3, True, None, float("nan"), float("inf"), 10**400]
)
def test_a_rate_that_is_none_is_refused(refusal, rate):
    said = refusal(MAILERS={"relay": {"OPTIONS": {"rate": rate}}})
    assert "MAILERS (from configure()) has an entry 'relay' whose option rate is " in said
    assert 'but must be a number of mails a second, more than 0, or mails in a time: write for instance "14/s"' in said
    assert len(said) < 300


def test_sessions_are_a_limit_and_no_option_of_the_backend():
    mailer = relay(sessions=3)
    assert dict(mailer.options) == {"host": "h"}
    assert mailer.limits == MailerLimits(sessions=3)
    assert mailer.limits.is_set


@pytest.mark.parametrize("sessions", [0, -1, 2.5, "many", "3", True, None])
def test_sessions_that_are_no_count_are_refused_in_one_sentence(refusal, sessions):
    said = refusal(MAILERS={"relay": {"OPTIONS": {"sessions": sessions}}})
    assert f"has an entry 'relay' whose option sessions is {sessions!r}, but must be a whole number, 1 or more." in said


@pytest.mark.parametrize("burst", [0, -1, 1.5, "5", True, None])
def test_a_burst_that_is_no_count_is_refused(refusal, burst):
    said = refusal(MAILERS={"relay": {"OPTIONS": {"burst": burst}}})
    assert f"has an entry 'relay' whose option burst is {burst!r}, but must be a whole number, 1 or more." in said


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("domain_rate", "14/s", """whose option domain_rate is '14/s', but must be a dict: write for instance {"example.com": "14/s"}"""),
        ("domain_rate", {"example.com": "x"}, "whose option domain_rate for example.com is 'x', but must be a number of mails"),
        ("domain_rate", {"@example.com": 1}, "whose option domain_rate has the key '…@example.com', but must have domains"),
        ("domain_rate", {"jane@example.com": 1}, "has the key 'j…@example.com', but must have domains"),
        ("domain_rate", {"bücher.de": 1}, "and xn--... where it is not ASCII"),
        ("domain_rate", {"": 1}, "has the key '', but must have domains"),
        ("domain_rate", {3: 1}, "has the key 3, but must have domains"),
        ("domain_rate", {"a.example": 1, "A.example": 2}, "has a.example twice: keep one"),
        ("domain_concurrency", [1], """is [1], but must be a dict: write for instance {"example.com": 2}"""),
        ("domain_concurrency", {"example.com": 0}, "for example.com is 0, but must be a whole number, 1 or more"),
    ],
)  # fmt: skip
def test_a_malformed_limit_for_domains_is_refused(refusal, option, value, sentence):
    assert sentence in refusal(MAILERS={"relay": {"OPTIONS": {option: value}}})


def test_all_that_is_wrong_is_told_at_once(refusal):
    said = refusal(MAILERS={"relay": {"OPTIONS": {"rate": 0, "burst": 0, "domain_rate": {"a.example": 0, "b c": 1}}}})
    assert said.startswith("4 settings are wrong:")


@pytest.mark.parametrize("option", ["rate", "burst", "domain_rate", "domain_concurrency"])
def test_a_queue_has_no_limits_of_its_own(refusal, option):
    said = refusal(MAILERS={"news": {"BACKEND": QUEUE_BACKEND, "OPTIONS": {option: 1}}})
    assert (
        f"has an entry 'news' with the option {option}, but it is a queue: put {option} on the mailer that delivers"
        in said
    )
