"""No secret and no whole address is in anything that settings print or raise."""

from __future__ import annotations

import pickle
import traceback

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr

from mailworker.errors import ConfigurationError
from mailworker.settings import Settings, describe

SECRET = "hunter2"
KEY = Fernet.generate_key().decode()

VALUES = {
    "EMAIL_URL": f"smtp://jane%40example.com:{SECRET}@host:587/?tls=1",
    "EMAIL_HOST_PASSWORD": SECRET,
    "MAILWORKER_BROKER_URL": f"redis://:{SECRET}@h:6379/0",
    "MAILWORKER_SPOOL_URL": f"redis://:{SECRET}@h:6379/1",
    "MAILWORKER_ENCRYPTION_KEYS": KEY,
    "MAILWORKER_UNSUBSCRIBE_KEYS": KEY,
    "MAILWORKER_UNSUBSCRIBE_URL": "https://example.com/{token}",
    "MAILERS": {
        "x": {
            "BACKEND": "a.B",
            "OPTIONS": {"password": SECRET, "api_key": SECRET, "nested": {"k": SECRET}, "port": 2525},
        }
    },
    "DEFAULT_FROM_EMAIL": "Shop <shop@example.com>",
    "ADMINS": [("Jane", "jane@example.com")],
}


def everything(settings):
    mailer = settings.mailer("x")
    yield from (repr(settings), str(settings), f"{settings!r}", repr(settings.mailers), repr(settings.MAILERS))
    yield from (repr(mailer), str(mailer), repr(mailer.options), str(mailer.options))
    yield from (
        repr(getattr(settings, name)) for name in Settings.model_fields if name not in ("ADMINS", "DEFAULT_FROM_EMAIL")
    )
    yield from (repr(settings.model_dump()), repr(describe(settings)), repr(settings._origins))


def test_no_secret_is_in_anything_that_settings_print():
    for text in everything(Settings(**VALUES)):
        assert SECRET not in text
        assert KEY not in text


def test_no_whole_address_is_in_the_repr_of_settings():
    text = repr(Settings(**VALUES))
    assert "DEFAULT_FROM_EMAIL='Shop <s…@example.com>'" in text
    assert "jane@" not in text


def test_what_is_no_secret_is_still_shown():
    settings = Settings(**VALUES)
    assert "2525" in repr(settings.mailer("x"))
    assert settings.show("MAILWORKER_BROKER_URL") == "redis://:**********@h:6379/0"
    assert settings.EMAIL_HOST_PASSWORD.get_secret_value() == SECRET
    assert settings.mailer("x").options["password"] == SECRET


@pytest.mark.parametrize(
    "values",
    [
        {"EMAIL_HOST_PASSWORD": f"{SECRET}\n"},
        {"EMAIL_HOST_PASSWORD": [SECRET]},
        {"EMAIL_HOST": f"smtp://jane:{SECRET}@host"},
        {"EMAIL_HOST": f"smtp://jane:{SECRET} x@host"},
        {"EMAIL_HOST": f"jane:{SECRET}@host"},
        {"EMAIL_HOST": SecretStr(SECRET)},
        {"EMAIL_PORT": f"{SECRET}@example.com"},
        {"MAILWORKER_ENCRYPTION_KEYS": SECRET},
        {"MAILWORKER_ENCRYPTION_KEYS": [SECRET]},
        {"MAILWORKER_BROKER_URL": f"redis:{SECRET}"},
        {"MAILWORKER_BROKER_URL": {"password": SECRET}},
        {"MAILWORKER_SPOOL_URL": f"http://:{SECRET}@h"},
        {"EMAIL_URL": SECRET},
        {"MAILERS": f'{{"x": "{SECRET}", }}'},
        {"MAILERS": {"x": {"BACKEND": "a.B", "OPTIONS": {"password": SECRET, "alias": SECRET}}}},
        {"MAILERS": {"x": {"BACKEND": "a.B", "OPTIONS": SECRET}}},
        {"MAILERS": {"x": SECRET}},
        {"MAILERS": SECRET},
    ],
)
def test_no_secret_is_in_the_text_or_traceback_of_a_refusal(values):
    with pytest.raises(ConfigurationError) as caught:
        Settings(**values)
    shown = "".join(traceback.format_exception(caught.value)).replace(repr(values), "")
    assert SECRET not in str(caught.value)
    assert SECRET not in shown


@pytest.mark.parametrize("name", ["DEFAULT_FROM_EMAIL", "ADMINS", "EMAIL_HOST", "EMAIL_PORT"])
def test_no_whole_address_is_in_the_text_of_a_refusal(refusal, name):
    assert "jane.doe@" not in refusal(**{name: "jane.doe@example.com x@, jane.doe@example.com;"})


def test_a_long_wrong_value_is_cut(refusal):
    assert len(refusal(EMAIL_PORT="9" * 4000)) < 250


def test_a_pickled_mailer_keeps_its_options_and_hides_them():
    mailer = pickle.loads(pickle.dumps(Settings(**VALUES).mailer("x")))
    assert mailer == Settings(**VALUES).mailer("x")
    assert SECRET not in repr(mailer)
