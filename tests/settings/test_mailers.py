"""Mailers: the two that always exist, those of MAILERS, and queues that must lead to one that delivers."""

from __future__ import annotations

import json

import pytest

from mailworker.errors import ConfigurationError
from mailworker.settings import QUEUE_BACKEND, SMTP_BACKEND, Mailer, Settings, backend_path, configure, override

RELAY = {"BACKEND": SMTP_BACKEND, "OPTIONS": {"host": "relay.example.com"}}


def test_default_and_relay_exist_without_being_configured():
    settings = Settings()
    assert dict(settings.mailers) == {
        "default": Mailer("default", QUEUE_BACKEND, is_implicit=True),
        "relay": Mailer("relay", SMTP_BACKEND, is_implicit=True),
    }
    assert settings.delivery_mailer("default") is settings.mailer("relay")


def test_the_implicit_mailers_follow_the_email_names():
    settings = Settings(EMAIL_BACKEND="proj.mail.Front", EMAIL_DELIVERY_BACKEND="proj.mail.Relay")
    assert [settings.mailer(alias).backend for alias in ("default", "relay")] == ["proj.mail.Front", "proj.mail.Relay"]
    assert settings.delivery_mailer("default").alias == "default"


def test_an_entry_takes_the_place_of_an_implicit_mailer():
    settings = Settings(MAILERS={"default": {"BACKEND": backend_path("console")}, "relay": RELAY, "bulk": {}})
    assert set(settings.mailers) == {"default", "relay", "bulk"}
    assert settings.mailer("default") == Mailer("default", backend_path("console"))
    assert not settings.mailer("relay").is_implicit
    assert settings.mailer("relay").options["host"] == "relay.example.com"
    assert settings.mailer("bulk").backend == SMTP_BACKEND


def test_mailers_come_from_the_environment_as_json(monkeypatch):
    monkeypatch.setenv("MAILERS", json.dumps({"relay": RELAY}))
    assert Settings().mailer("relay").options == {"host": "relay.example.com"}


def test_a_name_from_an_earlier_source_goes_before_an_entry_from_a_later_one(monkeypatch):
    monkeypatch.setenv("MAILERS", json.dumps({"default": {}, "relay": RELAY}))
    monkeypatch.setenv("EMAIL_BACKEND", backend_path("dummy"))
    monkeypatch.setenv("EMAIL_HOST", "other.example.com")
    assert not Settings().mailer("default").is_implicit
    assert not Settings().mailer("relay").is_implicit
    with override(EMAIL_BACKEND=backend_path("locmem")) as settings:
        assert settings.mailer("default") == Mailer("default", backend_path("locmem"), is_implicit=True)
        assert not settings.mailer("relay").is_implicit
    for relay in ({"EMAIL_HOST": "127.0.0.1"}, {"EMAIL_URL": "smtp://127.0.0.1"}, {"EMAIL_DELIVERY_BACKEND": "a.B"}):
        assert Settings(**relay).mailer("relay").is_implicit
    assert not Settings(EMAIL_TIMEOUT=5).mailer("relay").is_implicit


def test_an_entry_beside_names_of_the_same_source_counts():
    settings = Settings(MAILERS={"default": {}, "relay": RELAY}, EMAIL_BACKEND="a.B", EMAIL_HOST="x")
    assert not settings.mailer("default").is_implicit
    assert not settings.mailer("relay").is_implicit


def test_an_unknown_alias_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationError) as caught:
        Settings(MAILERS={"bulk": {}}).mailer("blk")
    assert str(caught.value) == "There is no mailer 'blk': known are bulk, default, relay; add others to MAILERS."
    with pytest.raises(ConfigurationError, match="There is no mailer"):
        Settings().mailer(["relay"])  # type: ignore[arg-type]  # what a caller without types may do


def test_a_queue_delivers_with_the_mailer_that_its_option_names():
    settings = Settings(MAILERS={"news": {"BACKEND": QUEUE_BACKEND, "OPTIONS": {"mailer": "bulk"}}, "bulk": RELAY})
    assert settings.mailer("news").is_queue
    assert settings.delivery_mailer("news") == settings.mailer("bulk")
    assert settings.delivery_mailer("bulk") == settings.mailer("bulk")


QUEUE = {"BACKEND": QUEUE_BACKEND}


@pytest.mark.parametrize(
    ("mailers", "sentence"),
    [
        (
            {"news": {**QUEUE, "OPTIONS": {"mailer": "bulk"}}},
            "The mailer 'news' is a queue and delivers with 'bulk', which is no mailer: known are default, news, relay.",
        ),
        (
            {"news": {**QUEUE, "OPTIONS": {"mailer": "default"}}},
            "The mailer 'news' is a queue and delivers with 'default', which is a queue too",
        ),
        ({"news": {**QUEUE, "OPTIONS": {"mailer": "news"}}}, "delivers with 'news', which is a queue too"),
        ({"relay": QUEUE}, "The mailer 'relay' is a queue and delivers with 'relay', which is a queue too"),
        ({"x": {**QUEUE, "OPTIONS": {"mailer": 3}}}, "has an entry 'x' whose option mailer is no text"),
        ({"x": {"OPTIONS": {"alias": "y"}}}, "has an entry 'x' with the option alias"),
        ({"x": {"HOST": "h"}}, "has an entry 'x' with the unknown key 'HOST', but an entry has BACKEND and OPTIONS"),
        ({"x": {"BACKEND": "smtp"}}, "has an entry 'x' whose BACKEND is not the dotted path of a backend class."),
        ({"x": {"BACKEND": "mailworker.mail.backends.smtpd.EmailBackend"}}, f"did you mean {SMTP_BACKEND}?"),
        ({"x": {"OPTIONS": ["host"]}}, "has an entry 'x' whose OPTIONS are no dict with names as keys"),
        ({"x": {"OPTIONS": {1: 2}}}, "has an entry 'x' whose OPTIONS are no dict with names as keys"),
        ({"x": "smtp"}, "has an entry 'x' that is no dict: write"),
        ({"a b": {}}, "has the alias 'a b', but an alias is 1 to 64 letters"),
        ({3: {}}, "has the alias 3, but an alias is"),
        ({"jane@example.com": {}}, "has the alias 'j…@example.com'"),
    ],
)
def test_a_bad_entry_is_refused_in_one_sentence(refusal, mailers, sentence):
    assert sentence in refusal(MAILERS=mailers)


def test_all_bad_entries_are_reported_together(refusal):
    said = refusal(MAILERS={"x": {"HOST": 1, "BACKEND": "y"}, "a b": {}})
    assert said.startswith("3 settings are wrong:")


def test_mailers_and_their_options_are_read_only():
    given = {"x": {"OPTIONS": {"host": "h"}}}
    settings = configure(MAILERS=given)
    given["x"]["OPTIONS"]["host"] = "changed"
    assert settings.mailer("x").options["host"] == "h"
    for mapping in (settings.mailers, settings.MAILERS, settings.mailer("x").options):
        with pytest.raises(TypeError):
            mapping["x"] = 1  # type: ignore[index]  # that is the point
    with pytest.raises(AttributeError):
        settings.mailer("x").backend = "y"  # type: ignore[misc]  # that is the point


def test_a_mailer_can_be_a_key():
    first, second = (Settings(MAILERS={"x": {"OPTIONS": {"hosts": ["a"]}}}).mailer("x") for _ in range(2))
    assert first == second
    assert len({first, second}) == 1
