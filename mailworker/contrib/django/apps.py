"""The app: what happens when Django starts, which is next to nothing; what is said here is looked up when it is needed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from django.apps import AppConfig
from django.core import checks

from mailworker import framework

if TYPE_CHECKING:
    from celery import Celery

    from mailworker.outcome import Outcome

#: Of the system checks: `manage.py check --tag mailworker`.
_TAG = "mailworker"


class MailworkerConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """Tells mailworker that it is in Django, and Django of the checks."""

    name = "mailworker.contrib.django"
    #: "django", the last part of the name, would say nothing.
    label = "mailworker"
    verbose_name = "mailworker"

    def ready(self) -> None:
        """Register everything; nothing is connected to."""
        checks.register(_check, _TAG)
        framework.use(framework.Framework(celery_app=_app, around_batch=_around_batch, lent=_lent, answer=_answer))
        if "celery" in sys.modules:
            # This may become a worker of the project's own app: it has to take mail before it starts.
            from celery.signals import worker_init

            worker_init.connect(_equip_worker, dispatch_uid="mailworker.contrib.django")


def _check(app_configs: Any, **kwargs: Any) -> list[Any]:
    from mailworker.contrib.django.checks import check

    return check()


def _app() -> Celery | None:
    from mailworker.contrib.django.celery_app import find

    return find()


def _around_batch() -> AbstractContextManager[None]:
    from mailworker.contrib.django.database import around_batch

    return around_batch()


def _lent(backend: Any, message: Any) -> Any:
    from mailworker.contrib.django.message import lent

    return lent(backend, message)


def _answer(message: Any, recipients: tuple[str, ...], error: BaseException | None) -> Mapping[str, Outcome] | None:
    from mailworker.contrib.django.answer import answer

    return answer(message, recipients, error)


def _equip_worker(**_: Any) -> None:
    from mailworker.queue import app as apps

    # Found, it is equipped.
    apps.current()
