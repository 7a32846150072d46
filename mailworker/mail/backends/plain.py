"""How a batch goes through a backend that needs no relay: console, filebased, locmem, dummy.

One failed message never stops the ones beside it. A message that cannot be rendered is REJECTED, one that cannot be
written (`OSError`: the disk is full) DEFERRED; the first error is raised at the end, unless the backend fails silently,
and a `BadHeaderError` even then. A backend that cannot be opened raises before any message was begun.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

from mailworker.errors import BadHeaderError
from mailworker.mail.address import recipient_keys
from mailworker.mail.backends.base import BaseEmailBackend
from mailworker.mail.check import check_headers
from mailworker.mail.journal import Journal
from mailworker.outcome import Outcome, OutcomeClass


class PlainEmailBackend(BaseEmailBackend):
    """Base of the backends that take each message by themselves, in this process. Safe from several threads."""

    reports_outcomes: ClassVar[bool] = True
    #: What stands in the outcome of a message that was taken.
    accepted_text: ClassVar[str] = "taken"

    def __init__(self, fail_silently: bool = False, *, alias: str | None = None, **kwargs: Any) -> None:
        super().__init__(fail_silently, alias=alias, **kwargs)
        self._lock = threading.RLock()

    def take(self, message: Any) -> None:
        """Get rid of one message.

        Raises:
            OSError: not now.
            Exception: never.
        """
        raise NotImplementedError

    def send_messages(self, email_messages: Sequence[Any], journal: Journal | None = None) -> int:
        """Take messages, one after the other.

        Args:
            email_messages: what to take.
            journal: hears of each message.

        Returns:
            How many were taken.
        """
        return self._run(email_messages, journal, self.take)

    def _run(self, messages: Iterable[Any], journal: Journal | None, take: Callable[[Any], None]) -> int:
        batch = list(messages)
        if not batch:
            return 0
        with self._lock:
            try:
                opened = self._open_for_batch()
            except OSError:
                if not self.fail_silently:
                    raise
                return 0
            try:
                taken, errors = self._take_all(batch, journal, take)
            finally:
                if opened:
                    self.close()
        for error in errors:
            if not self.fail_silently or isinstance(error, BadHeaderError):
                raise error
        return taken

    def _open_for_batch(self) -> bool:
        """Open if it is closed; True if this call did."""
        return bool(self.open())

    def _take_all(
        self, batch: Sequence[Any], journal: Journal | None, take: Callable[[Any], None]
    ) -> tuple[int, list[Exception]]:
        taken = 0
        errors: list[Exception] = []
        for message in batch:
            message.outcomes = {}
            if journal and not journal.beginning(message):
                continue
            try:
                check_headers(message)
                if journal and not journal.committing(message):
                    continue
                take(message)
            except Exception as error:  # noqa: BLE001 - whatever a message does to us, the ones beside it go on
                errors.append(error)
                message.outcomes = _outcomes(message, _failure(error))
            else:
                taken += 1
                message.outcomes = _outcomes(message, Outcome(OutcomeClass.ACCEPTED, None, self.accepted_text))
            if journal:
                journal.settled(message)
        return taken, errors


def _failure(error: Exception) -> Outcome:
    name = type(error).__name__
    if isinstance(error, OSError):
        return Outcome(OutcomeClass.DEFERRED, None, f"could not be written: {name}")
    return Outcome(OutcomeClass.REJECTED, None, f"could not be rendered: {name}")


def _outcomes(message: Any, outcome: Outcome) -> dict[str, Outcome]:
    try:
        return dict.fromkeys(recipient_keys(message), outcome)
    except Exception:  # noqa: BLE001 - recipients() of a subclass may be what is broken
        return {}
