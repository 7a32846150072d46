"""How a worker treats the message of one of our tasks: its cargo is never shown, revoked or cut off.

Celery's `inspect` shows the real arguments of active and reserved tasks, a revoked task is acknowledged unseen, and
`terminate` kills a process in the middle of DATA. None of that is right for a task that is mail.
"""

from __future__ import annotations

import time
from typing import Any

from celery.worker.request import Request

from mailworker import log
from mailworker.queue import shutdown

logger = log.get(__name__)


#: Seconds by which the clocks of two hosts may differ.
_CLOCK_SKEW = 5.0


class MailRequest(Request):  # type: ignore[misc]  # celery has no types
    """A request for one of our tasks."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.waits_until > time.time() + _CLOCK_SKEW:
            # Nobody can have begun it: the worker that had it before stopped, or lost its broker, while it waited.
            self.delivery_info["redelivered"] = False

    @property
    def waits_until(self) -> float:
        """When it may be started, seconds since the epoch; 0 = at once."""
        return float(self.eta.timestamp()) if self.eta else 0.0

    @property
    def is_submitted(self) -> bool:
        """True once the pool was given it; Celery keeps the pool's handle from then on."""
        return self._apply_result is not None

    def info(self, safe: bool = False) -> dict[str, Any]:
        """Return what `inspect` shows: the arguments' reprs, whoever asks."""
        shown: dict[str, Any] = super().info(safe=True)
        return shown

    def revoked(self) -> bool:
        """Tell that it is not revoked: a mail is taken back by mailworker, which knows what became of it."""
        return False

    def terminate(self, pool: Any, signal: Any = None) -> None:
        """Let the run end by itself: it does so after the message on the wire when the worker stops."""
        logger.warning("task %s is mail and is not terminated: stop the worker, or the mailer, instead", self.id)

    def cancel(self, pool: Any, signal: Any = None, emit_retry: bool = True) -> None:
        """Let the run end by itself; on a cold shutdown after the message on the wire."""
        if not emit_retry:
            # Celery says so only on a cold shutdown; it then waits for the pool before it tells anybody else.
            shutdown.stopping()
