from __future__ import annotations

from typing import Any

import pytest

import mailworker
from mailworker import mail, settings
from mailworker.errors import ConfigurationError
from mailworker.mail.backends import console, dummy, filebased, locmem, queue
from mailworker.mail.backends.base import BaseEmailBackend

HERE = "tests.mail.test_connection"


class Strict:
    """A backend of somebody else's that knows nothing beyond Django's contract."""

    def __init__(self, fail_silently: bool = False, host: str = "") -> None:
        self.fail_silently = fail_silently
        self.host = host

    def send_messages(self, messages: Any) -> int:
        return len(messages)


class Loose(BaseEmailBackend):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.kwargs = kwargs


def ours(name: str) -> str:
    return f"mailworker.mail.backends.{name}.EmailBackend"


@pytest.mark.parametrize(
    ("name", "module", "kwargs"),
    [
        ("console", console, {}),
        ("dummy", dummy, {}),
        ("locmem", locmem, {}),
        ("queue", queue, {}),
        ("filebased", filebased, "tmp"),
    ],
)
def test_a_backend_is_found_by_its_dotted_path(name, module, kwargs, tmp_path):
    kwargs = {"file_path": tmp_path} if kwargs == "tmp" else kwargs
    connection = mail.get_connection(ours(name), fail_silently=True, **kwargs)
    assert isinstance(connection, module.EmailBackend)
    assert connection.fail_silently is True
    assert mail.get_connection(ours(name), **kwargs).fail_silently is False


def test_arguments_go_on_to_the_backends_class():
    assert mail.get_connection(f"{HERE}.Strict", False, host="h").host == "h"
    assert mail.get_connection(f"{HERE}.Strict", True).fail_silently is True


def test_no_path_means_the_default_mailer():
    assert isinstance(mail.get_connection(), locmem.EmailBackend)
    with settings.override(EMAIL_BACKEND=ours("dummy")):
        assert isinstance(mail.get_connection(), dummy.EmailBackend)
    with settings.override(MAILERS={"default": {"BACKEND": f"{HERE}.Strict", "OPTIONS": {"host": "h"}}}):
        assert mail.get_connection().host == "h"
        assert mail.get_connection(host="other").host == "other"


def test_an_empty_path_means_the_default_mailer_as_in_django():
    with settings.override(EMAIL_BACKEND=__name__ + ".Loose"):
        assert isinstance(mail.get_connection(""), Loose)


def test_the_queue_is_the_default():
    with settings.override(EMAIL_BACKEND=settings.QUEUE_BACKEND):
        assert isinstance(mail.get_connection(), queue.EmailBackend)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("mailworker.mail.backends.smpt.EmailBackend", "did you mean 'mailworker.mail.backends.smtp.EmailBackend'"),
        ("mailworker.mail.backends.smtp.EmailBackned", "did you mean"),
        ("no.such.module.EmailBackend", "no backend is there"),
        ("nonsense", "no backend is there"),
        (".x", "no backend is there"),
        ("tests.mail.test_connection.HERE", "that is no class"),
        (5, "expected a dotted path"),
    ],
)
def test_a_path_that_leads_nowhere_is_told_in_one_sentence(path, says):
    with pytest.raises(ConfigurationError, match=says) as caught:
        mail.get_connection(path)
    assert repr(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_backend_that_cannot_import_something_says_what(tmp_path, monkeypatch):
    (tmp_path / "backend_that_needs.py").write_text("import not_installed_here\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigurationError, match="it needs 'not_installed_here'"):
        mail.get_connection("backend_that_needs.EmailBackend")


@pytest.mark.parametrize(("name", "alias"), [("EMAIL_BACKEND", "default"), ("EMAIL_DELIVERY_BACKEND", "relay")])
def test_a_wrong_path_in_a_setting_is_named_after_the_setting(name, alias):
    with settings.override(**{name: "no.such.EmailBackend"}), pytest.raises(ConfigurationError, match=name):
        mail.mailers[alias]
    with (
        settings.override(MAILERS={"other": {"BACKEND": "no.such.EmailBackend"}}),
        pytest.raises(ConfigurationError, match=r"MAILERS\['other'\]"),
    ):
        mail.mailers["other"]


def test_mailers_is_a_mapping_that_builds_a_new_backend_at_each_look():
    table = {
        "news": {"BACKEND": ours("dummy"), "OPTIONS": {"fail_silently": True}},
        "strict": {"BACKEND": f"{HERE}.Strict", "OPTIONS": {"host": "h"}},
        "loose": {"BACKEND": f"{HERE}.Loose", "OPTIONS": {"region": "eu"}},
    }
    with settings.override(MAILERS=table):
        assert mail.mailers["news"] is not mail.mailers["news"]
        assert mail.mailers["news"].alias == "news"
        assert mail.mailers["news"].fail_silently is True
        assert mail.mailers["strict"].host == "h"
        assert mail.mailers["loose"].kwargs["region"] == "eu"
        assert mail.mailers["loose"].alias == "loose"
        assert isinstance(mail.mailers.default, locmem.EmailBackend)
        assert mail.mailers.default.alias is None
        assert "news" in mail.mailers
        assert "none" not in mail.mailers
        assert set(mail.mailers) == {"default", "relay", "news", "strict", "loose"}
        assert len(mail.mailers) == 5
        assert mail.mailers.get("none") is None
        assert mail.mailers.get("none", 5) == 5
        assert isinstance(mail.mailers.get("news"), dummy.EmailBackend)
        with pytest.raises(ConfigurationError, match="none"):
            mail.mailers["none"]
    assert mailworker.mailers is mail.mailers


def test_an_option_that_the_backend_does_not_take_is_named_and_its_value_is_not():
    table = {"x": {"BACKEND": f"{HERE}.Strict", "OPTIONS": {"pasword": "geheim"}}}
    with settings.override(MAILERS=table), pytest.raises(ConfigurationError, match="pasword") as caught:
        mail.mailers["x"]
    assert "geheim" not in str(caught.value)
    assert "MAILERS['x']" in str(caught.value)


def test_the_queue_names_an_option_that_it_does_not_take():
    with pytest.raises(ConfigurationError, match="host, port") as caught:
        mail.get_connection(ours("queue"), host="smtp.example", port=25)
    assert "smtp.example" not in str(caught.value)


def test_the_base_class_is_a_context_manager_that_closes_what_could_not_be_opened():
    calls = []

    class Backend(BaseEmailBackend):
        broken = False

        def open(self) -> bool:
            calls.append("open")
            if self.broken:
                raise OSError
            return True

        def close(self) -> None:
            calls.append("close")

    with Backend() as backend:
        assert isinstance(backend, Backend)
    backend.broken = True
    with pytest.raises(OSError), backend:
        raise AssertionError
    assert calls == ["open", "close", "open", "close"]
    with pytest.raises(NotImplementedError, match="Backend"):
        backend.send_messages([])
    assert BaseEmailBackend(True, anything=1).fail_silently is True
