"""Django's backend: the queue, behind the commit of the transaction in which mail is sent.

What is wrong with a message is raised at `send()`, where the caller can do something about it; when the mail is handed
over, and what a broken queue then means, is `mailworker.contrib.django.on_commit`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mailworker import deadline, framework, log, settings
from mailworker.contrib.django import on_commit, report, text
from mailworker.errors import ConfigurationError, loggable
from mailworker.mail.backends import queue

logger = log.get(__name__)


class EmailBackend(queue.EmailBackend):
    """The queue backend for EMAIL_BACKEND or MAILERS of a Django project; its options are those of the queue backend."""

    def __init__(self, fail_silently: bool = False, *, _ignore_unknown_kwargs: Any = None, **options: Any) -> None:
        # Django 6.1 passes that name along with what a call says beside MAILERS (`fail_silently`, a login): none is unknown.
        super().__init__(fail_silently, **options)

    def _take(self, messages: Sequence[Any], **asked: Any) -> int:
        """Queue messages now, or prepare them for the end of the transaction; return how many."""
        if log.is_in_handler():
            return self._report(messages, **asked)
        conf = _settings()
        with text.decoded(messages):
            if not on_commit.waits(conf):
                return super()._take(messages, **asked)
            from mailworker.queue import producer

            prepared = producer.prepare(messages, **asked)
        on_commit.hand_over(prepared, conf)
        return len(prepared.composed)

    def _report(self, messages: Sequence[Any], **asked: Any) -> int:
        """Queue a logging handler's error report: it tells of what happened, whether or not that is rolled back.

        It never raises, or the handler would take the response along. Django's asks to fail silently, and from 6.1 on leaves
        that to the backend.
        """
        try:
            patience = report.patience(log.handled(), _settings().MAILWORKER_ENQUEUE_TIMEOUT)
            with text.decoded(messages), deadline.within(patience):
                return super()._take(messages, **{**asked, "fail_silently": True})
        except Exception as error:  # noqa: BLE001 - see above
            logger.error("an error report was not mailed: %s", loggable(error), extra={"event": "report_failed"})
            return 0


def _settings() -> settings.Settings:
    if not framework.is_there():
        # The worker would hand our own messages to Django's backends, and no check would have been made.
        raise ConfigurationError(
            'mailworker.contrib.django.EmailBackend is used, and its app is not there: add "mailworker.contrib.django" to '
            "INSTALLED_APPS, and call django.setup() where no Django command runs"
        )
    return settings.current()
