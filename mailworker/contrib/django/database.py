"""Keeps a worker's database connections in order: what is too old, or broken, is closed around each batch of mails.

Signals and other projects' backends may use the database in a worker, and a batch comes minutes after the one before.
Celery itself closes what was open before a fork, and what a task has left open; but one task sends many batches.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import close_old_connections

from mailworker import log

logger = log.get(__name__)


@contextmanager
def around_batch() -> Iterator[None]:
    """Close old connections before and after the body, as Django does around a request; never raises by itself."""
    _close()
    try:
        yield
    finally:
        _close()


def _close() -> None:
    try:
        close_old_connections()
    except Exception as error:  # noqa: BLE001 - mail goes on, whatever becomes of a connection that it does not use
        logger.warning("old database connections could not be closed: %s", type(error).__name__)
