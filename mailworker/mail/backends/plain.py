"""How a batch goes through a backend that needs no relay: console, filebased, locmem, dummy.

One failed message never stops the ones beside it. A message that cannot be rendered is REJECTED, one that cannot be
written (`OSError`: the disk is full) DEFERRED; the first error is raised at the end, unless the backend fails silently,
and a `BadHeaderError` even then. A backend that cannot be opened raises before any message was begun.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
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
        refused = {id(message): error for message in batch if (error := _error_of(check_headers, message)) is not None}
        with self._lock:
            try:
                # A header that breaks out of its line opens nothing.
                opened = len(refused) < len(batch) and self._open_for_batch()
            except OSError:
                if not self.fail_silently:
                    raise
                return 0
            try:
                taken, errors = self._take_all(batch, refused, journal, take)
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
        self,
        batch: Sequence[Any],
        refused: Mapping[int, Exception],
        journal: Journal | None,
        take: Callable[[Any], None],
    ) -> tuple[int, list[Exception]]:
        taken = 0
        errors: list[Exception] = []
        for message in batch:
            message.outcomes = {}
            if journal and not journal.beginning(message):
                continue
            error = refused.get(id(message))
            if error is None:
                if journal and not journal.committing(message):
                    continue
                error = _error_of(take, message)
            if error is None:
                taken += 1
                outcome = Outcome(OutcomeClass.ACCEPTED, None, self.accepted_text)
            else:
                errors.append(error)
                outcome = _failure(error)
            message.outcomes = _outcomes(message, outcome)
            if journal:
                journal.settled(message)
        return taken, errors


def _error_of(look: Callable[[Any], None], message: Any) -> Exception | None:
    """Return what a look at a message raises: whatever it does to us, the ones beside it go on."""
    try:
        look(message)
    except Exception as error:  # noqa: BLE001 - see above
        return error
    return None


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
