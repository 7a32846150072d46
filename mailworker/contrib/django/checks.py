"""System checks (`manage.py check`, tag "mailworker"): what would go wrong with the first mail is said before it.

Nothing is connected to; `manage.py mailworker check` does that. E001: the settings. E002: a worker would queue what it should
deliver. E003: a backend that is not there, or does not take its options. E004: no such database. E005: the Celery app.
W001: the app is installed, and Django's mail goes past it. W002: it goes to the queue, and past the commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import django
from django.conf import settings as django_settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured

from mailworker import settings
from mailworker.contrib.django import celery_app
from mailworker.errors import ConfigurationError
from mailworker.mail import connection as connections
from mailworker.settings import Mailer, Settings
from mailworker.settings.backend import DJANGO_QUEUE_BACKEND, QUEUE_BACKEND

#: Backends of Django's that somebody chose for development or tests, and knows it.
_DEVELOPMENT = ("console", "dummy", "filebased", "locmem")


def check() -> list[Any]:
    """Look the settings over, and return what is wrong with them."""
    try:
        conf = settings.current()
    except ConfigurationError as error:
        return [checks.Error(str(error), hint="The README has a table of the settings.", id="mailworker.E001")]
    return [*_keys(conf), *_mailers(conf), *_database(conf), *_app(conf), *_default(), *_commit(conf)]


def _keys(conf: Settings) -> Iterator[Any]:
    from mailworker.queue.compose import tools

    try:
        tools(conf)
    except ConfigurationError as error:
        yield checks.Error(str(error), id="mailworker.E001")


def _mailers(conf: Settings) -> Iterator[Any]:
    queues = [mailer for mailer in conf.mailers.values() if mailer.is_queue]
    for mailer in queues:
        # An option that it does not take would be the first mail's error.
        yield from _built(mailer)
    delivering = {conf.mailers[mailer.delivers_with] for mailer in queues}
    for mailer in sorted(delivering, key=lambda one: one.alias):
        yield from _delivery(mailer)


def _delivery(mailer: Mailer) -> Iterator[Any]:
    # A class of the project's own over our queue has another path, and queues all the same.
    if _queues(mailer.backend):
        yield checks.Error(
            f"{connections.setting_of(mailer)} is {mailer.backend!r}, which is a queue: a worker that delivers with it queues "
            "its mail again, for ever.",
            hint="Name the backend that sends, such as mailworker.mail.backends.smtp.EmailBackend.",
            id="mailworker.E002",
        )
        return
    yield from _built(mailer)


def _built(mailer: Mailer) -> Iterator[Any]:
    what = f"{connections.setting_of(mailer)} is {mailer.backend!r}, which cannot be built"
    try:
        backend = connections.build(mailer)
    except ConfigurationError as error:
        yield checks.Error(str(error), id="mailworker.E003")
    except ImproperlyConfigured as error:
        # Said for whoever writes the settings: it names one that is missing, as anymail's backends do.
        yield checks.Error(f"{what}: {' '.join(str(error).split())}", id="mailworker.E003")
    except Exception as error:  # noqa: BLE001 - another project's backend raises what it likes
        yield checks.Error(
            f"{what} ({type(error).__name__}).",
            hint="What it says is not shown, for it may hold a secret: build it in `manage.py shell`.",
            id="mailworker.E003",
        )
    else:
        lacking = [name for name in ("open", "close", "send_messages") if not hasattr(backend, name)]
        if lacking:
            yield checks.Error(
                f"{connections.setting_of(mailer)} is {mailer.backend!r}, which has no {', no '.join(lacking)}.",
                hint="Make it a subclass of django.core.mail.backends.base.BaseEmailBackend.",
                id="mailworker.E003",
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
    # A process that sends no mail need not import Celery where nothing can be wrong.
    if conf.MAILWORKER_CELERY_APP is None and (conf.is_set("MAILWORKER_BROKER_URL") or not celery_app.has_module()):
        return
    from mailworker.queue import app as apps

    try:
        apps.current()
    except Exception as error:  # noqa: BLE001 - importing the project's app runs the project
        said = str(error) if isinstance(error, ConfigurationError) else type(error).__name__
        yield checks.Error(f"The project's Celery app cannot be used: {said}", id="mailworker.E005")


def _default() -> Iterator[Any]:
    named = _named()
    if any(map(_queues, named.values())) or _is_for_development(named.get("default", "")):
        return
    setting = "no entry of MAILERS has" if _has_mailers() else f"EMAIL_BACKEND ({named['default']}) is not"
    yield checks.Warning(
        f"mailworker.contrib.django is installed, and {setting} the backend {DJANGO_QUEUE_BACKEND}: Django's mail goes "
        "past the queue.",
        hint=(
            f'Write MAILERS = {{"default": {{"BACKEND": "{DJANGO_QUEUE_BACKEND}"}}, "relay": {{...}}}}.'
            if _has_mailers()
            else f'Write EMAIL_BACKEND = "{DJANGO_QUEUE_BACKEND}".'
        ),
        id="mailworker.W001",
    )


def _commit(conf: Settings) -> Iterator[Any]:
    for alias, path in _named().items():
        if conf.MAILWORKER_ON_COMMIT and path == QUEUE_BACKEND:
            setting = f"MAILERS[{alias!r}]['BACKEND']" if _has_mailers() else "EMAIL_BACKEND"
            yield checks.Warning(
                f"{setting} is {path}, which knows nothing of transactions: mail goes although they are rolled back.",
                hint=f'Write "{DJANGO_QUEUE_BACKEND}", or MAILWORKER = {{"ON_COMMIT": False}} if that is meant.',
                id="mailworker.W002",
            )


def _has_mailers() -> bool:
    # An older Django does not look there.
    return cast("tuple[int, ...]", django.VERSION) >= (6, 1) and hasattr(django_settings, "MAILERS")


def _named() -> dict[str, str]:
    """Return the backends that Django's mail goes to, by alias."""
    if _has_mailers():
        return {alias: entry.get("BACKEND", "") for alias, entry in django_settings.MAILERS.items()}
    return {"default": _email_backend()}


def _email_backend() -> str:
    # Behind the proxy, which warns of the name from Django 6.1 on.
    settings: Any = django_settings._wrapped  # noqa: SLF001
    return str(settings.EMAIL_BACKEND)


def _queues(path: str) -> bool:
    from mailworker.mail.backends.queue import EmailBackend as Queue

    try:
        cls = connections.import_backend(path)
    except Exception:  # noqa: BLE001 - it is said where it is built
        return False
    return isinstance(cls, type) and issubclass(cls, Queue)


def _is_for_development(path: str) -> bool:
    return any(f".backends.{name}." in path for name in _DEVELOPMENT)
