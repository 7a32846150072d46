"""MAILWORKER_OAUTH_TOKEN: the path of a function, or the function, and never a token."""

from __future__ import annotations

import functools
import time
import traceback

import pytest

from mailworker.errors import ConfigurationError
from mailworker.settings import Settings, describe, is_token_path

#: In the forms that Google, Microsoft and others give them.
TOKENS = [
    "ya29.a0AfH6SMBx1Zk9vQ2Lr7",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
    "gho_16C7e42F292c6912E7710c838347Ae178B4a",
    "EwBAAl3BAAUFFpUAo7J3Ve0bjLBWZWCclRC3EoAA",
    f"v2.local.{'abcdef0123' * 7}",
    "1//0gAbCdEfGhIjKlMnOp",
    "Bearer abc",
]


@pytest.mark.parametrize(
    "path", ["shop.oauth:token", "shop.oauth.token", "oauth:token", "a.b.c:Account.token", "shop.OAuth2:getOAuth2Token"]
)
def test_a_path_is_taken_with_a_colon_or_without(path, monkeypatch):
    settings = Settings(MAILWORKER_OAUTH_TOKEN=path)
    assert settings.show("MAILWORKER_OAUTH_TOKEN") == path
    assert path in repr(settings)
    monkeypatch.setenv("MAILWORKER_OAUTH_TOKEN", path)
    assert Settings().MAILWORKER_OAUTH_TOKEN == settings.MAILWORKER_OAUTH_TOKEN


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_in_its_place_is_refused_and_not_shown(token):
    assert not is_token_path(token)
    with pytest.raises(ConfigurationError) as caught:
        Settings(MAILWORKER_OAUTH_TOKEN=token)
    assert token not in "".join(traceback.format_exception(caught.value))
    assert str(caught.value) == (
        "MAILWORKER_OAUTH_TOKEN (from configure()) has a value that is not shown here, but must be the path of a function "
        "that gives access tokens, and no token: write for instance MAILWORKER_OAUTH_TOKEN=shop.oauth:token."
    )


@pytest.mark.parametrize(
    "value", ["token", ":token", "shop:", "shop..oauth:token", "shop.oauth:", "a b:c", "a:b:c", 7, b"a:b"]
)
def test_what_is_no_path_is_refused(refusal, value):
    assert "must be the path of a function" in refusal(MAILWORKER_OAUTH_TOKEN=value)


def test_in_code_it_may_be_the_function_and_is_shown_by_its_name():
    settings = Settings(MAILWORKER_OAUTH_TOKEN=time.time)
    assert settings.MAILWORKER_OAUTH_TOKEN is time.time
    assert settings.show("MAILWORKER_OAUTH_TOKEN") == "time:time"
    bound = Settings(MAILWORKER_OAUTH_TOKEN=functools.partial(str, "S3cret"))
    assert bound.show("MAILWORKER_OAUTH_TOKEN") == "functools:partial"
    assert "S3cret" not in repr(bound) + repr(describe(bound))


def test_unless_it_is_set_there_is_none(monkeypatch):
    monkeypatch.setenv("MAILWORKER_OAUTH_TOKEN", "")
    settings = Settings()
    assert settings.MAILWORKER_OAUTH_TOKEN is None
    assert settings.show("MAILWORKER_OAUTH_TOKEN") == "not set"


def test_a_token_and_a_password_are_a_contradiction(refusal, monkeypatch):
    monkeypatch.setenv("EMAIL_URL", "smtp://ann:S3cret@smtp.example.com/?tls=1")
    said = refusal(MAILWORKER_OAUTH_TOKEN="shop.oauth:token")
    assert said == (
        "MAILWORKER_OAUTH_TOKEN (from configure()) and EMAIL_HOST_PASSWORD (from EMAIL_URL in the environment) are both set, "
        "but a user logs in with one of them: take the other out."
    )
    monkeypatch.setenv("EMAIL_URL", "smtp://ann%40example.com@smtp.example.com/?tls=1")
    settings = Settings(MAILWORKER_OAUTH_TOKEN="shop.oauth:token")
    assert settings.EMAIL_HOST_USER == "ann@example.com"
