from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from mailworker import mail, settings
from tests.smtpd import Bench


@pytest.fixture(autouse=True)
def outbox() -> Iterator[list[Any]]:
    """Whatever this machine's environment says: mail goes into the outbox, and each test has its own."""
    kept = mail.outbox
    mail.outbox = []
    with settings.override(
        EMAIL_BACKEND="mailworker.mail.backends.locmem.EmailBackend",
        DEFAULT_FROM_EMAIL="webmaster@localhost",
        SERVER_EMAIL="root@localhost",
        DEFAULT_CHARSET="utf-8",
        EMAIL_SUBJECT_PREFIX="[Test] ",
        EMAIL_USE_LOCALTIME=False,
        ADMINS=[],
        MANAGERS=[],
        MAILERS={},
    ):
        yield mail.outbox
    mail.outbox = kept


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.end()


@pytest.fixture(scope="module")
def django_mail() -> Iterator[Any]:
    """Django's mail package, configured for as long as this module's tests run, and never asking DNS."""
    import django.core.mail
    from django.conf import empty
    from django.conf import settings as django_settings

    was = django_settings._wrapped
    django_settings._wrapped = empty
    django_settings.configure(EMAIL_BACKEND="django.core.mail.backends.locmem.EmailBackend")
    django.core.mail.DNS_NAME._fqdn = "host.example"
    try:
        yield django.core.mail
    finally:
        django_settings._wrapped = was
        del django.core.mail.DNS_NAME._fqdn


@pytest.fixture
def same_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two renderings of one message make up the same Date and Message-ID."""
    monkeypatch.setattr("mailworker.mail.identity.time", SimpleNamespace(time=lambda: 0, time_ns=lambda: 10**18))
    monkeypatch.setattr("mailworker.mail.identity.secrets", SimpleNamespace(token_hex=lambda size: "0a" * size))
