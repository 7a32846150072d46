"""A backend that takes its worker with it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable

from mailworker import EmailMessage
from mailworker.mail.backends import smtp


class EmailBackend(smtp.EmailBackend):
    """Sends, but for a message to poison@example.com."""

    def send_messages(self, email_messages: Iterable[EmailMessage]) -> int:  # type: ignore[override]  # as old backends have it
        messages = list(email_messages)
        if any("poison@example.com" in message.recipients() for message in messages):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().send_messages(messages)
