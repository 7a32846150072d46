"""The type of the fixture `run_due`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime, timedelta


class RunDue(Protocol):
    """What `mailworker.run_due` is."""

    def __call__(self, at: datetime | None = None, *, after: timedelta | float | None = None) -> int:
        """Deliver what is due, as if it were that time; return how many mails were tried."""
        ...
