"""The app: what happens when Django starts."""

from __future__ import annotations

import sys
from typing import Any

from django.apps import AppConfig

from mailworker import framework
from mailworker.contrib.django import celery_app
from mailworker.contrib.django.answer import answer
from mailworker.contrib.django.database import around_batch
from mailworker.contrib.django.message import lent


class MailworkerConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """Tells mailworker that it is in Django, and Django of the checks."""

    name = "mailworker.contrib.django"
    #: "django", the last part of the name, would say nothing.
    label = "mailworker"
    verbose_name = "mailworker"

    def ready(self) -> None:
        """Register everything; nothing is connected to."""
        from mailworker.contrib.django import checks

        checks.register()
        framework.use(
            framework.Framework(celery_app=celery_app.find, around_batch=around_batch, lent=lent, answer=answer)
        )
        if "celery" in sys.modules:
            # This may become a worker of the project's own app: it has to take mail before it starts.
            from celery.signals import worker_init

            worker_init.connect(_equip_worker, dispatch_uid="mailworker.contrib.django")


def _equip_worker(**_: Any) -> None:
    from mailworker.queue import app as apps

    apps.current()
