"""Takes every message and does nothing with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from mailworker.mail.backends.plain import PlainEmailBackend
from mailworker.mail.journal import Journal
from mailworker.mail.options import QueueOptions


class EmailBackend(PlainEmailBackend):
    """The backend that sends nothing."""

    accepts_options: ClassVar[bool] = True
    accepted_text: ClassVar[str] = "taken by the dummy backend"

    def take(self, message: Any) -> None:
        """Do nothing."""

    def send_messages(
        self,
        email_messages: Sequence[Any],
        journal: Journal | None = None,
        *,
        options: QueueOptions | None = None,
    ) -> int:
        """Count messages."""
        return self._run(email_messages, journal, self.take)
