"""Keeps messages in `mailworker.mail.outbox`, for tests: copies, so that what the program changes later shows nothing.

Each is rendered once, so that a test hears of a header that no other backend would take.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

from mailworker import mail
from mailworker.mail.backends.plain import PlainEmailBackend
from mailworker.mail.journal import Journal
from mailworker.mail.options import QueueOptions


class EmailBackend(PlainEmailBackend):
    """The backend of test suites."""

    accepts_options: ClassVar[bool] = True
    accepted_text: ClassVar[str] = "kept in the outbox"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        _outbox()

    def send_messages(
        self, email_messages: Sequence[Any], journal: Journal | None = None, *, options: QueueOptions | None = None
    ) -> int:
        """Keep copies of messages; `options` stand on them as `queue_options`."""
        return self._run(email_messages, journal, partial(_keep, options=options))


def _keep(message: Any, options: QueueOptions | None) -> None:
    message.message()
    connection = getattr(message, "connection", None)
    # A connection is no part of a message, and may hold a lock that cannot be copied.
    kept = copy.deepcopy(message, {id(connection): connection})
    kept.queue_options = options
    _outbox().append(kept)


def _outbox() -> list[Any]:
    """Return the list that is the outbox now; a test may have replaced it, or deleted it as Django's runner does."""
    if not hasattr(mail, "outbox"):
        mail.outbox = []
    return mail.outbox
