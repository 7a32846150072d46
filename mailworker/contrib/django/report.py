"""How long an error report may wait for the queue: a tenth of the usual time where it tells that the queue took no mail.

The request that it tells of has waited its whole time by then.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from mailworker.errors import EnqueueError

_SHARE = 0.1


def patience(record: logging.LogRecord | None, seconds: float) -> float:
    """Return how long the report of a record may wait.

    Args:
        record: what is reported; None = not known.
        seconds: how long mail may wait.
    """
    error = record.exc_info[1] if record is not None and record.exc_info else None
    return seconds * _SHARE if any(isinstance(each, EnqueueError) for each in _chain(error)) else seconds


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and those that led to it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        yield error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
