"""Hands messages to the queue: the default backend. A worker delivers them with another mailer.

What a send costs, how long it may take and what a broken queue means are `mailworker.queue.producer`'s matter, which is
imported when the first message is sent: composing mail needs no Celery.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, ClassVar

from mailworker.errors import ConfigurationError
from mailworker.loop import in_thread
from mailworker.mail.backends.base import BaseEmailBackend
from mailworker.mail.options import QueueOptions

#: The module that queues from event loops, once it is loaded: in `sys.modules` it stands from the moment when its import begins, and
#: who imports it before that has ended waits.
_aproducer: Any = None


class EmailBackend(BaseEmailBackend):
    """The queue backend.

    Args:
        fail_silently: a broken queue is logged, and nothing is raised in the caller.
        alias: of the mailer that it was built for.
        mailer: alias of the mailer that the worker delivers with.
        username: login of these messages at the relay; None or "" = that mailer's. Travels encrypted only.
        password: the same.

    Raises:
        ConfigurationError: another option is given.
    """

    accepts_options: ClassVar[bool] = True
    #: What it queues is checked as a whole there.
    checks_messages: ClassVar[bool] = True

    def __init__(
        self,
        fail_silently: bool = False,
        *,
        alias: str | None = None,
        mailer: str = "relay",
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs:
            names = ", ".join(sorted(kwargs))
            raise ConfigurationError(
                f"the queue backend got {names}: it expects mailer, username and password; describe the relay in the "
                "EMAIL_* settings or in MAILERS, and name it with mailer="
            )
        super().__init__(fail_silently, alias=alias)
        self.mailer = mailer
        self.username = username
        self.password = password

    def send_messages(self, email_messages: Sequence[Any], *, options: QueueOptions | None = None) -> int:
        """Queue messages; those without a recipient are left out.

        Args:
            email_messages: what to queue.
            options: when and how.

        Returns:
            How many were queued.

        Raises:
            BadHeaderError: whatever `fail_silently` says.
            EnqueueError: the queue did not take them.
        """
        messages = [message for message in email_messages if message.recipients()]
        if not messages:
            return 0
        return self._take(messages, **self._asked(options))

    def _take(self, messages: Sequence[Any], **asked: Any) -> int:
        """Queue messages and return how many; a framework may have another moment for it than now."""
        from mailworker.queue import producer

        return len(producer.enqueue(messages, **asked))

    async def asend_messages(self, email_messages: Sequence[Any], *, options: QueueOptions | None = None) -> int:
        """Queue messages from an event loop, which goes on meanwhile; otherwise as `send_messages`."""
        messages = [message for message in email_messages if message.recipients()]
        if not messages:
            return 0
        global _aproducer
        if _aproducer is None:
            # The first time, Celery and kombu come with it: half a second.
            _aproducer = await in_thread(import_module, "mailworker.queue.aproducer")
        return len(await _aproducer.enqueue(messages, **self._asked(options)))

    def _asked(self, options: QueueOptions | None) -> dict[str, Any]:
        # Both empty, as programs pass their own empty settings on, is no login.
        has_login = bool(self.username or self.password)
        return {
            "options": options or QueueOptions(),
            "mailer": self.mailer,
            "fail_silently": self.fail_silently,
            "login": (self.username or "", self.password or "") if has_login else None,
        }
