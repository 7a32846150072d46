"""Django's backend: the queue, behind the commit of the transaction in which mail is sent.

What is wrong with a message is raised at `send()`, where the caller can do something about it; when the mail is handed
over, and what a broken queue then means, is `mailworker.contrib.django.on_commit`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mailworker import deadline, framework, log, settings
from mailworker.contrib.django import on_commit, report, text
from mailworker.errors import ConfigurationError
from mailworker.mail.backends import queue


class EmailBackend(queue.EmailBackend):
    """The queue backend for EMAIL_BACKEND or MAILERS of a Django project; its options are those of the queue backend."""

    def __init__(self, fail_silently: bool = False, *, _ignore_unknown_kwargs: Any = None, **options: Any) -> None:
        # Django 6.1 passes that name along with what a call says beside MAILERS (`fail_silently`, a login): none is unknown.
        super().__init__(fail_silently, **options)

    def _take(self, messages: Sequence[Any], **asked: Any) -> int:
        """Queue messages now, or prepare them for the end of the transaction; return how many."""
        if not framework.is_there():
            # The worker would hand our own messages to Django's backends, and no check would have been made.
            raise ConfigurationError(
                'mailworker.contrib.django.EmailBackend is used, and its app is not there: add "mailworker.contrib.django" '
                "to INSTALLED_APPS, and call django.setup() where no Django command runs"
            )
        with text.decoded(messages):
            return self._take_now_or_at_commit(messages, **asked)

    def _take_now_or_at_commit(self, messages: Sequence[Any], **asked: Any) -> int:
        conf = settings.current()
        if log.is_in_handler():
            # An error report: it tells of what happened, whether or not that is rolled back. A handler that raises would take
            # the response along; Django's asks to fail silently, and from 6.1 on leaves that to the backend.
            with deadline.within(report.patience(log.handled(), conf.MAILWORKER_ENQUEUE_TIMEOUT)):
                return super()._take(messages, **{**asked, "fail_silently": True})
        if not on_commit.waits(conf):
            return super()._take(messages, **asked)
        from mailworker.queue import producer

        prepared = producer.prepare(messages, **asked)
        on_commit.hand_over(prepared, conf)
        return len(prepared.composed)
