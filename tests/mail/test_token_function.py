"""The function that gives access tokens, as the smtp backend finds it."""

from __future__ import annotations

import functools
import json
import sys
import traceback
from typing import Any

import pytest

from mailworker import settings
from mailworker.errors import ConfigurationError, MailerUnavailable, Trouble
from mailworker.mail import connection, mailers
from mailworker.mail.backends.smtp import EmailBackend
from mailworker.mail.message import EmailMessage
from mailworker.mail.token_function import load
from mailworker.testing import Script, ScriptedServer

USER, TOKEN = "ann@example.com", "ya29.a0-S3cret"
TLS: dict[str, Any] = {"host": "smtp.example.com", "use_tls": True, "username": USER}

MODULE = f"""
import functools
from mailworker import AccessToken

calls = []

def token():
    calls.append(1)
    return AccessToken({TOKEN!r}, 4_000_000_000)

def with_arguments(user):
    return {TOKEN!r}

async def asynchronous():
    return {TOKEN!r}

class Account:
    def __init__(self, token):
        self.value = token
    def __call__(self):
        return self.value
    def token(self):
        return self.value

account = Account({TOKEN!r})
bound = functools.partial(with_arguments, {USER!r})
number = 7
"""


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    (tmp_path / "tokenshop").mkdir()
    (tmp_path / "tokenshop" / "__init__.py").write_text("")
    (tmp_path / "tokenshop" / "oauth.py").write_text(MODULE)
    (tmp_path / "tokenshop" / "broken.py").write_text(f"raise RuntimeError({TOKEN!r})")
    (tmp_path / "tokenshop" / "needy.py").write_text("import no_such_library.client")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "tokenshop"]:
        del sys.modules[name]


@pytest.fixture
def relay():
    with ScriptedServer(Script(tokens={USER: TOKEN}, mechanisms=["XOAUTH2"], require_auth=True)) as server:
        yield server


def at(relay):
    return {"host": relay.host, "port": relay.port, "username": USER}


def send(backend):
    with backend:
        return backend.send_messages([EmailMessage("hello", "text", "s@example.com", ["a@example.org"])])


@pytest.mark.parametrize(
    "path",
    [
        "tokenshop.oauth:token",
        "tokenshop.oauth.token",
        "tokenshop.oauth:account",
        "tokenshop.oauth:account.token",
        "tokenshop.oauth:bound",
    ],
)
def test_a_path_leads_to_anything_that_can_be_called(path):
    function = load(path, None)
    assert function is not None
    assert TOKEN in (function(), getattr(function(), "token", None))


@pytest.mark.parametrize("nothing", [None, ""])
def test_nothing_is_no_function(nothing):
    assert load(nothing, None) is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (TOKEN, ["is text that is not shown", "'shop.oauth:token'"]),
        ("token", ["is text that is not shown"]),
        ("tokenshop/oauth.py", ["is text that is not shown"]),
        (TOKEN.encode(), ["which is a value of type bytes"]),
        (7, ["which is a value of type int"]),
        (lambda user: TOKEN, ["the value that was given, which cannot be called without arguments"]),
        ("tokenshop.ouath:token", ["'tokenshop.ouath:token'", "there is no module 'tokenshop.ouath'"]),
        ("tokensohp.oauth:token", ["there is no module 'tokensohp'"]),
        ("tokenshop.needy:token", ["it needs the module 'no_such_library'"]),
        ("tokenshop.broken:token", ["importing tokenshop.broken raised RuntimeError", "python -c"]),
        ("tokenshop.oauth:tokn", ["there is no 'tokn' in tokenshop.oauth", "did you mean 'token'?"]),
        ("tokenshop.oauth:account.tokn", ["there is no 'tokn'", "did you mean 'token'?"]),
        ("tokenshop.oauth", ["is 'tokenshop.oauth', which is a module"]),
        ("tokenshop.oauth:Account", ["which is a class"]),
        ("tokenshop.oauth:number", ["which is a value of type int"]),
        ("tokenshop.oauth:with_arguments", ["which cannot be called without arguments"]),
        ("tokenshop.oauth:asynchronous", ["which is an async function"]),
    ],
)
def test_what_is_none_is_named_with_its_option_and_no_token(value, words):
    if value == "tokenshop.oauth":
        load("tokenshop.oauth:token", None)
    with pytest.raises(ConfigurationError) as caught:
        EmailBackend(alias="gmail", token=value, **TLS)
    text = str(caught.value)
    assert text.startswith("MAILERS['gmail']['OPTIONS']['token'] is ")
    assert all(word in text for word in words)
    assert "\n" not in text
    assert "S3cret" not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(ConfigurationError, match=r"token \(MAILWORKER_OAUTH_TOKEN\) is "):
        EmailBackend(token=value, **TLS)


def test_a_function_of_which_python_knows_no_arguments_is_taken():
    assert load(functools.partial(str, TOKEN), None) is not None


# Where it comes from.


def test_the_settings_token_logs_the_relay_s_user_in(relay):
    with settings.override(
        EMAIL_HOST=relay.host,
        EMAIL_PORT=relay.port,
        EMAIL_HOST_USER=USER,
        MAILWORKER_OAUTH_TOKEN="tokenshop.oauth:token",
    ):
        assert send(mailers["relay"]) == 1
        # Each backend is a new one, and all share the token.
        assert send(mailers["relay"]) == 1
    assert [session.user for session in relay.sessions] == [USER, USER]
    assert sys.modules["tokenshop.oauth"].calls == [1]


def test_a_mailer_in_json_from_the_environment_has_its_own(relay, monkeypatch):
    table = {"gmail": {"OPTIONS": {**at(relay), "token": "tokenshop.oauth:token"}}}
    monkeypatch.setenv("MAILERS", json.dumps(table))
    conf = settings.Settings()
    assert TOKEN not in repr(conf.mailer("gmail"))
    assert send(connection.build(conf.mailer("gmail"))) == 1
    assert relay.sessions[0].user == USER


def test_in_code_it_is_the_function_itself(relay):
    with settings.override(MAILERS={"gmail": {"OPTIONS": {**at(relay), "token": lambda: TOKEN}}}):
        assert send(mailers["gmail"]) == 1
    with settings.override(
        EMAIL_HOST=relay.host, EMAIL_PORT=relay.port, EMAIL_HOST_USER=USER, MAILWORKER_OAUTH_TOKEN=lambda: TOKEN
    ):
        assert send(EmailBackend()) == 1


def test_a_mailer_with_an_alias_takes_nothing_of_the_settings():
    with settings.override(EMAIL_HOST_USER=USER, MAILWORKER_OAUTH_TOKEN="tokenshop.oauth:token"):
        assert EmailBackend(alias="other").token is None


def test_a_token_and_a_password_of_one_mailer_are_an_error():
    with pytest.raises(ConfigurationError, match="are both set"):
        EmailBackend(token=lambda: TOKEN, password="p", **TLS)
    options = {**TLS, "token": "tokenshop.oauth:token", "password": "p"}
    with settings.override(MAILERS={"x": {"OPTIONS": options}}), pytest.raises(ConfigurationError, match="both set"):
        _ = mailers["x"]
    with settings.override(MAILERS={"x": {"OPTIONS": TLS}}), pytest.raises(ConfigurationError, match="both set"):
        connection.build(settings.current().mailer("x"), token=lambda: TOKEN, password="p")


def test_what_is_given_goes_before_what_is_set():
    with settings.override(EMAIL_HOST_USER=USER, MAILWORKER_OAUTH_TOKEN="tokenshop.oauth:token"):
        given = EmailBackend(password="p", username="u")
        assert (given.password, given.token) == ("p", None)
        assert EmailBackend(password="", username="").token is None
    with settings.override(EMAIL_HOST_USER=USER, EMAIL_HOST_PASSWORD="p"):
        given = EmailBackend(token=lambda: TOKEN)
        assert (given.password, given.token is None) == ("", False)
        assert EmailBackend(token="").password == "p"


@pytest.mark.parametrize("where", ["settings", "mailer"])
def test_the_login_of_a_message_takes_the_place_of_the_mailer_s_token(relay, where):
    relay.script(users={"own": "pass"}, require_auth=True)
    values = {
        "settings": {
            "EMAIL_HOST": relay.host,
            "EMAIL_PORT": relay.port,
            "EMAIL_HOST_USER": USER,
            "MAILWORKER_OAUTH_TOKEN": "tokenshop.oauth:token",
        },
        "mailer": {"MAILERS": {"relay": {"OPTIONS": {**at(relay), "token": "tokenshop.oauth:token"}}}},
    }
    with settings.override(**values[where]):
        assert send(connection.connection_for("relay", auth_user="own", auth_password="pass")) == 1
    assert relay.sessions[0].user == "own"


def test_a_token_option_of_another_project_s_backend_is_its_own(monkeypatch):
    class Foreign:
        def __init__(self, fail_silently=False, token=None, password=None):
            self.given = (token, password)

    monkeypatch.setitem(sys.modules, "tokenshop.foreign", type(sys)("tokenshop.foreign"))
    monkeypatch.setattr(sys.modules["tokenshop.foreign"], "Foreign", Foreign, raising=False)
    mailer = settings.Mailer("x", "tokenshop.foreign.Foreign", settings.Options({"token": "t"}))
    assert connection.build(mailer, password="p").given == ("t", "p")


def test_an_unknown_option_still_fails_and_the_known_ones_are_named():
    with pytest.raises(ConfigurationError, match=r"not known: 'tokn' \(token\?\); expected some of .*\btoken\b"):
        EmailBackend(alias="x", tokn=lambda: TOKEN)


def test_what_a_subclass_breaks_is_told_when_it_opens(relay):
    class Own(EmailBackend):
        def __init__(self, **options):
            super().__init__(**options)
            self.password = "p"

    with pytest.raises(MailerUnavailable, match="are both set") as caught:
        Own(token=lambda: TOKEN, **at(relay)).open()
    assert caught.value.trouble is Trouble.CONFIGURATION
