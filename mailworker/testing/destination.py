"""Where the mail of a test goes: into a list, or to a scripted SMTP server, in this process and at once.

Every mailer that delivers is led there, under whatever name, so that no test sends mail to a real relay, also one that the
program names only in the test, by `configure()` or an app that is made there; mailers that queue go on to. Each is a context
manager, puts everything back as it was, and nests.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mailworker import mail, settings
from mailworker.queue import eager
from mailworker.settings import SMTP_BACKEND, Mailer, Options, Settings, backend_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mailworker.mail.message import EmailMessage
    from mailworker.testing.smtpd import ScriptedServer

_LOCMEM_BACKEND = backend_path("locmem")


@contextmanager
def eager_mode() -> Iterator[None]:
    """Deliver in this process, without a broker; what waits for later is forgotten at the end, and time goes back."""
    with settings.override(MAILWORKER_TASK_ALWAYS_EAGER=True):
        eager.reset()
        try:
            yield
        finally:
            eager.reset()


@contextmanager
def outbox() -> Iterator[list[EmailMessage]]:
    """Keep what is delivered in a new list, which is `mailworker.outbox` meanwhile; in eager mode."""
    missing: list[EmailMessage] = []
    before = getattr(mail, "outbox", missing)
    fresh: list[EmailMessage] = []
    with eager_mode(), settings.overlay(_kept_in_memory):
        mail.outbox = fresh
        try:
            yield fresh
        finally:
            mail.outbox = before


@contextmanager
def relayed_to(server: ScriptedServer) -> Iterator[None]:
    """Deliver over SMTP to a server that listens on this machine."""
    with settings.overlay(lambda below: relay_settings(below, server.host, server.port)):
        yield


def relay_settings(below: Settings, host: str, port: int) -> dict[str, Any]:
    """Return settings with which every mailer delivers to a server that wants neither TLS nor a login."""
    return {
        "EMAIL_DELIVERY_BACKEND": SMTP_BACKEND,
        "EMAIL_HOST": host,
        "EMAIL_PORT": port,
        "EMAIL_HOST_USER": "",
        "EMAIL_HOST_PASSWORD": "",
        "EMAIL_USE_TLS": False,
        "EMAIL_USE_SSL": False,
        "MAILWORKER_OAUTH_TOKEN": None,
        "MAILERS": _led_to(below, SMTP_BACKEND, {"host": host, "port": port}),
    }


def _kept_in_memory(below: Settings) -> dict[str, Any]:
    return {"EMAIL_DELIVERY_BACKEND": _LOCMEM_BACKEND, "MAILERS": _led_to(below, _LOCMEM_BACKEND, {})}


def _led_to(below: Settings, backend: str, options: Mapping[str, Any]) -> dict[str, Mailer]:
    """Return the mailers as they are, with another backend for those that deliver."""
    known = below.mailers
    # An implicit queue is what is there anyway, and an entry for it would take that away.
    kept = {alias: mailer for alias, mailer in known.items() if mailer.is_queue and not mailer.is_implicit}
    return kept | {
        alias: Mailer(alias, backend, Options(options)) for alias, mailer in known.items() if not mailer.is_queue
    }
