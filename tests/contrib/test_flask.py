"""mailworker in Flask applications: whose settings count, what is refused, and what a test of such an application sees."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

import mailworker
from mailworker import settings
from mailworker.contrib import flask as contrib
from mailworker.contrib.flask import Mailworker
from mailworker.errors import ConfigurationError
from mailworker.queue import app as apps

LOCMEM = "mailworker.mail.backends.locmem.EmailBackend"


@pytest.fixture(autouse=True)
def _process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test is a process in which nothing was set up."""
    monkeypatch.setattr(contrib, "_owner", None)
    settings.reset()
    apps.uninstall()
    mailworker.outbox.clear()
    yield
    settings.reset()
    apps.uninstall()
    mailworker.outbox.clear()


def made(name: str = "shop", **config: Any) -> Flask:
    app = Flask(name)
    app.config.update(config)
    return app


def test_settings_come_from_the_applications_configuration_and_other_names_are_its_own() -> None:
    app = made(
        EMAIL_HOST="smtp.example.com",
        MAILWORKER_ENQUEUE_TIMEOUT=1.5,
        DEFAULT_FROM_EMAIL=None,
        EMAIL_HOST_USER="",
        EMAIL_TEMPLATES="mine",
        SQLALCHEMY_DATABASE_URI="sqlite://",
    )
    extension = Mailworker(app)
    conf = settings.current()
    assert (conf.EMAIL_HOST, conf.MAILWORKER_ENQUEUE_TIMEOUT) == ("smtp.example.com", 1.5)
    assert not conf.is_set("DEFAULT_FROM_EMAIL")
    assert app.extensions["mailworker"] is extension


def test_configure_goes_before_them_and_the_environment_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMAIL_HOST", "environment.example.com")
    monkeypatch.setenv("EMAIL_PORT", "2525")
    settings.configure(SERVER_EMAIL="configured@example.com")
    Mailworker(made(EMAIL_HOST="app.example.com", SERVER_EMAIL="app@example.com"))
    conf = settings.current()
    assert (conf.EMAIL_HOST, conf.EMAIL_PORT, conf.SERVER_EMAIL) == (
        "app.example.com",
        2525,
        "configured@example.com",
    )


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"EMAIL_PORT": "smtp"}, r"EMAIL_PORT \(from app.config\).*smtp"),
        ({"MAILWORKER_BROKER_ULR": "redis://h"}, r"MAILWORKER_BROKER_ULR \(from app.config\).*MAILWORKER_BROKER_URL"),
        ({"MAIL_SERVER": "smtp.example.com"}, "MAIL_SERVER .from app.config. is Flask-Mail's name.*write EMAIL_HOST"),
        ({"MAIL_DEFAULT_SENDER": "a@example.com"}, "write DEFAULT_FROM_EMAIL"),
        (
            {"MAILWORKER": {"BROKER_URL": "redis://h"}},
            r"MAILWORKER \(from app.config\).*each by itself.*MAILWORKER_BROKER_URL",
        ),
    ],
)
def test_what_is_wrong_is_told_when_the_application_is_set_up(config: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        Mailworker(made(**config))
    assert not settings.current().is_set("EMAIL_PORT")


def test_flask_mails_names_stand_where_it_is_used_too_or_ours_beside_them() -> None:
    Mailworker(made(MAIL_SERVER="smtp.example.com", EMAIL_HOST="smtp.example.com"))
    app = made(MAIL_SERVER="smtp.example.com", EMAIL_HOST="smtp.example.com", MAIL_PORT=25)
    app.extensions["mail"] = object()
    Mailworker(app)


def test_what_is_no_application_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="got str, expected a Flask application"):
        Mailworker("shop")  # type: ignore[arg-type]


def test_a_second_application_may_have_the_same_settings_and_no_others() -> None:
    first, second = made("one", EMAIL_HOST="a.example.com"), made("two", EMAIL_HOST="a.example.com")
    Mailworker(first)
    Mailworker(second)
    built = settings.current()
    for app in (first, second, first):
        with app.app_context():
            assert settings.current() is built
    third = made("three", EMAIL_HOST="b.example.com", EMAIL_HOST_PASSWORD="hunter2")
    with pytest.raises(ConfigurationError, match=r"app 'three' .* 'two' for EMAIL_HOST, EMAIL_HOST_PASSWORD") as caught:
        Mailworker(third)
    assert "hunter2" not in str(caught.value)
    assert settings.current() is built


def test_an_application_that_is_gone_or_under_test_is_in_nobodys_way() -> None:
    Mailworker(made("one", EMAIL_HOST="a.example.com", EMAIL_PORT=26))
    gc.collect()
    kept = made("two", EMAIL_HOST="b.example.com")
    Mailworker(kept)
    assert (settings.current().EMAIL_HOST, settings.current().is_set("EMAIL_PORT")) == ("b.example.com", False)
    tested = made("three", EMAIL_HOST="c.example.com", TESTING=True)
    Mailworker(tested)
    assert settings.current().EMAIL_HOST == "c.example.com"
    # Each, in its own context, has its own.
    with kept.app_context():
        assert settings.current().EMAIL_HOST == "b.example.com"


def test_under_test_mail_goes_the_whole_way_and_stays_in_the_process() -> None:
    app = made()
    Mailworker(app)

    @app.post("/")
    def order() -> dict[str, Any]:
        mailworker.send_mail("s", "b", None, ["ann@example.com"])
        (mail_id,) = mailworker.enqueue(mailworker.EmailMessage("t", "b", None, ["bob@example.com"]))
        found = mailworker.status(mail_id)
        return {"state": found and found.state}

    # As Flask's documentation has it: after the factory.
    app.config.update(TESTING=True)
    answer = app.test_client().post("/")
    assert json.loads(answer.data) == {"state": "sent"}
    assert [each.subject for each in mailworker.outbox] == ["s", "t"]


def test_under_test_named_mailers_stay_in_the_process_too() -> None:
    app = made(
        TESTING=True,
        MAILERS={
            "default": {"BACKEND": "mailworker.mail.backends.queue.EmailBackend"},
            "relay": {"BACKEND": "mailworker.mail.backends.smtp.EmailBackend", "OPTIONS": {"host": "h"}},
            "news": {"BACKEND": "mailworker.mail.backends.smtp.EmailBackend", "OPTIONS": {"host": "n"}},
        },
    )
    Mailworker(app)
    mailworker.send_mail("s", "b", None, ["ann@example.com"])
    mailworker.send_mail("t", "b", None, ["ann@example.com"], using="news")
    assert [each.subject for each in mailworker.outbox] == ["s", "t"]


@pytest.mark.parametrize("name", ["EMAIL_BACKEND", "EMAIL_DELIVERY_BACKEND"])
def test_under_test_an_application_that_says_what_becomes_of_mail_has_its_way(name: str) -> None:
    Mailworker(made(TESTING=True, **{name: "mailworker.mail.backends.dummy.EmailBackend"}))
    conf = settings.current()
    assert getattr(conf, name) == "mailworker.mail.backends.dummy.EmailBackend"
    assert not conf.MAILWORKER_TASK_ALWAYS_EAGER


def test_its_command_line_is_ours_in_the_applications_context() -> None:
    app = made(MAILWORKER_TASK_ALWAYS_EAGER=True, EMAIL_DELIVERY_BACKEND=LOCMEM)
    Mailworker(app)
    runner = app.test_cli_runner()
    shown = runner.invoke(args=["mailworker", "--help"])
    assert "deliver what is queued" in shown.output
    sent = runner.invoke(args=["mailworker", "send", "--to", "ann@example.com", "--subject", "s", "--body", "b"])
    assert sent.exit_code == 0, sent.output
    assert [each.to for each in mailworker.outbox] == [["ann@example.com"]]
    assert runner.invoke(args=["mailworker", "--version"]).output == f"mailworker, version {mailworker.__version__}\n"
    wrong = runner.invoke(args=["mailworker", "status", "0" * 32])
    assert wrong.exit_code == 1
