"""Loggers of mailworker: structured fields, and no mail from our own records.

A handler that mails its records (Django's `AdminEmailHandler`) on the root logger would turn each of our errors about a
broken queue into one more mail for that queue, without end. While one of our records is handled, `is_logging()` is
true there, and the queue takes nothing; also where handlers run in another thread (`logging.handlers.QueueListener`).
A handler that raises harms no mail.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import suppress
from contextvars import ContextVar
from types import FrameType
from typing import Any

#: Name of the logger above all of ours.
_ROOT = "mailworker"

#: What every handler goes through, in whichever thread.
_HANDLE = logging.Handler.handle.__code__

_logging: ContextVar[bool] = ContextVar("mailworker_logging", default=False)


def is_logging() -> bool:
    """Tell whether the caller runs inside a handler that handles a record of mailworker."""
    # A thread that handles what another one logged has no mark.
    return _logging.get() or any(record.name.partition(".")[0] == _ROOT for record in _handled())


def is_in_handler() -> bool:
    """Tell whether the caller runs inside a handler that handles anybody's record."""
    return _logging.get() or handled() is not None


def handled() -> logging.LogRecord | None:
    """Return the record that is handled among the callers, the latest if there are several; None if there is none."""
    return next(_handled(), None)


def _handled() -> Iterator[logging.LogRecord]:
    """Yield the records that are handled among the callers, the latest first."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - a public name of CPython all the same; inspect.stack() reads source files
    while frame is not None:
        if frame.f_code is _HANDLE:
            record = frame.f_locals.get("record")
            if isinstance(record, logging.LogRecord):
                yield record
        frame = frame.f_back


class Logger(logging.LoggerAdapter[logging.Logger]):
    """A logger whose records carry fields and never cause a mail."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Pass `extra` of the call on as it is."""
        return msg, kwargs

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log, marking the context for as long as handlers run."""
        if not self.isEnabledFor(level):
            return
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
        token = _logging.set(True)
        try:
            self.logger.log(level, msg, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - see `_failed`
            _failed(error)
        finally:
            _logging.reset(token)

    def event(self, level: int, text: str, fields: Mapping[str, Any]) -> None:
        """Log what happens for each mail: a record with these fields that says nothing of where in the code it was made.

        To look for that takes as long as to make the record.

        Args:
            level: of the record.
            text: the whole of it.
            fields: attributes of the record.
        """
        logger = self.logger
        if not logger.isEnabledFor(level):
            return
        token = _logging.set(True)
        try:
            logger.handle(logger.makeRecord(logger.name, level, __file__, 0, text, (), None, extra=fields))
        except Exception as error:  # noqa: BLE001 - see `_failed`
            _failed(error)
        finally:
            _logging.reset(token)


def _failed(error: Exception) -> None:
    """Say on the standard error that a handler, a filter or a record factory raised.

    Whoever logs is in the middle of a mail's work, and no mail pays for a log. What the exception says, or a record held, is
    not shown.
    """
    with suppress(Exception):
        sys.stderr.write(f"mailworker: a log record was lost: {type(error).__name__} in what handles it\n")


def get(name: str) -> Logger:
    """Return the logger of a module, a child of "mailworker"."""
    return Logger(logging.getLogger(name), {})


def domain(recipient: str) -> str:
    """Return a recipient's domain, "?" if it has none: what a log may say of an address."""
    return recipient.rpartition("@")[2].lower() or "?"
