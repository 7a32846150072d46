"""System checks (`manage.py check`, tag "mailworker"): what would go wrong with the first mail is said before it.

Nothing is connected to; `manage.py mailworker check` does that. E001: the settings. E002: a worker would queue what it should
deliver. E003: a backend that is not there, or does not take its options. E004: no such database. E005: the Celery app.
W001: the app is installed, and Django's mail goes past it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.conf import settings as django_settings
from django.core import checks

from mailworker import settings
from mailworker.errors import ConfigurationError
from mailworker.mail import connection as connections
from mailworker.settings import Mailer, Settings
from mailworker.settings.backend import DJANGO_QUEUE_BACKEND

#: Backends of Django's that somebody chose for development or tests, and knows it.
_DEVELOPMENT = ("console", "dummy", "filebased", "locmem")


def check() -> list[Any]:
    """Look the settings over, and return what is wrong with them."""
    try:
        conf = settings.current()
    except ConfigurationError as error:
        return [checks.Error(str(error), hint="The README has a table of the settings.", id="mailworker.E001")]
    return [*_keys(conf), *_mailers(conf), *_database(conf), *_app(conf), *_default(conf)]


def _keys(conf: Settings) -> Iterator[Any]:
    from mailworker.queue.compose import tools

    try:
        tools(conf)
    except ConfigurationError as error:
        yield checks.Error(str(error), id="mailworker.E001")


def _mailers(conf: Settings) -> Iterator[Any]:
    delivering = {conf.mailers[mailer.delivers_with] for mailer in conf.mailers.values() if mailer.is_queue}
    for mailer in sorted(delivering, key=lambda one: one.alias):
        yield from _delivery(mailer)


def _delivery(mailer: Mailer) -> Iterator[Any]:
    from mailworker.mail.backends.queue import EmailBackend as Queue

    setting = connections.setting_of(mailer)
    try:
        # A class of the project's own over our queue has another path, and queues all the same.
        cls = connections.import_backend(mailer.backend, setting)
        if isinstance(cls, type) and issubclass(cls, Queue):
            yield checks.Error(
                f"{setting} is {mailer.backend!r}, which is a queue: a worker that delivers with it queues its mail again, "
                "for ever.",
                hint="Name the backend that sends, such as mailworker.mail.backends.smtp.EmailBackend.",
                id="mailworker.E002",
            )
            return
        connections.build(mailer)
    except ConfigurationError as error:
        yield checks.Error(str(error), id="mailworker.E003")
    except Exception as error:  # noqa: BLE001 - another project's backend raises what it likes
        yield checks.Error(
            f"{setting} is {mailer.backend!r}, which cannot be built ({type(error).__name__}).", id="mailworker.E003"
        )


def _database(conf: Settings) -> Iterator[Any]:
    alias, known = conf.MAILWORKER_ON_COMMIT_USING, sorted(django_settings.DATABASES)
    if conf.MAILWORKER_ON_COMMIT and alias != "default" and alias not in known:
        yield checks.Error(
            f"MAILWORKER_ON_COMMIT_USING (from {conf.origin('MAILWORKER_ON_COMMIT_USING')}) is {alias!r}, which is no "
            "database of this project.",
            hint=f"DATABASES has {', '.join(known) or 'none'}.",
            id="mailworker.E004",
        )


def _app(conf: Settings) -> Iterator[Any]:
    if conf.MAILWORKER_CELERY_APP is None:
        return
    from mailworker.queue import app as apps

    try:
        apps.current()
    except Exception as error:  # noqa: BLE001 - importing the project's app runs the project
        said = str(error) if isinstance(error, ConfigurationError) else type(error).__name__
        yield checks.Error(f"The project's Celery app cannot be used: {said}", id="mailworker.E005")


def _default(conf: Settings) -> Iterator[Any]:
    has_mailers = hasattr(django_settings, "MAILERS")
    if has_mailers:
        named = {alias: entry.get("BACKEND", "") for alias, entry in django_settings.MAILERS.items()}
    else:
        named = {"default": _email_backend()}
    if any(_queues(path) for path in named.values()) or _is_for_development(named.get("default", "")):
        return
    setting = "no entry of MAILERS has" if has_mailers else f"EMAIL_BACKEND ({named['default']}) is not"
    yield checks.Warning(
        f"mailworker.contrib.django is installed, and {setting} the backend {DJANGO_QUEUE_BACKEND}: Django's mail goes "
        "past the queue.",
        hint=(
            f'Write MAILERS = {{"default": {{"BACKEND": "{DJANGO_QUEUE_BACKEND}"}}, "relay": {{...}}}}.'
            if has_mailers
            else f'Write EMAIL_BACKEND = "{DJANGO_QUEUE_BACKEND}".'
        ),
        id="mailworker.W001",
    )


def _email_backend() -> str:
    # Behind the proxy, which warns of the name from Django 6.1 on.
    settings: Any = django_settings._wrapped  # noqa: SLF001
    return str(settings.EMAIL_BACKEND)


def _queues(path: str) -> bool:
    from mailworker.mail.backends.queue import EmailBackend as Queue

    try:
        cls = connections.import_backend(path)
    except ConfigurationError:
        return False
    return isinstance(cls, type) and issubclass(cls, Queue)


def _is_for_development(path: str) -> bool:
    return any(f".backends.{name}." in path for name in _DEVELOPMENT)
