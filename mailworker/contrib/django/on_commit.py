"""When mail is handed over in Django: at the commit of the transaction it is sent in, so that a rollback sends nothing.

Without a transaction it goes at once. A queue that is broken at the commit harms neither the response nor the other callbacks, unless
MAILWORKER_ON_COMMIT_FAILURE says that it shall; and however many mails a transaction has sent, they wait for it once.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from django.db import transaction
from django.utils.connection import ConnectionDoesNotExist

from mailworker import deadline, log
from mailworker.errors import ConfigurationError, EnqueueError, loggable

if TYPE_CHECKING:
    from mailworker.queue.producer import Prepared
    from mailworker.settings import Settings

logger = log.get(__name__)

#: Mails that one log record names at most.
_NAMED = 20


def waits(conf: Settings) -> bool:
    """Tell whether mail that is sent now has to wait for a commit.

    Raises:
        ConfigurationError: MAILWORKER_ON_COMMIT_USING names no database.
    """
    if not conf.MAILWORKER_ON_COMMIT:
        return False
    try:
        connection = transaction.get_connection(conf.MAILWORKER_ON_COMMIT_USING)
    except ConnectionDoesNotExist:
        raise ConfigurationError(
            f"MAILWORKER_ON_COMMIT_USING is {conf.MAILWORKER_ON_COMMIT_USING!r}, which is no database of this project: "
            "write an alias of DATABASES"
        ) from None
    return bool(connection.in_atomic_block)


def hand_over(prepared: Prepared, conf: Settings) -> None:
    """Hand messages over at the commit.

    Args:
        prepared: the messages.
        conf: says of which database, and what a failure means.
    """
    may_raise = conf.MAILWORKER_ON_COMMIT_FAILURE == "raise" and not prepared.fail_silently
    committed = _Committed(prepared, _patience(conf), may_raise=may_raise)
    # Robust where nothing may come of it: the callbacks behind it run, whatever happens here.
    transaction.on_commit(committed, using=conf.MAILWORKER_ON_COMMIT_USING, robust=not may_raise)


class _Patience:
    """How long the mails of a transaction wait, in all, for a queue that does not take them.

    Args:
        seconds: in all.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._wasted = 0.0

    def left(self) -> float:
        """Return the seconds that the next mail may take: no bound of ours until one has failed, for a call has its own."""
        return max(0.0, self._seconds - self._wasted) if self._wasted else math.inf

    def waste(self, seconds: float) -> None:
        """Note how long a mail has waited that was not taken."""
        self._wasted += seconds


class _Committed:
    """What the commit calls.

    Args:
        prepared: the messages.
        patience: of the transaction.
        may_raise: whether a failure is the committer's.
    """

    def __init__(self, prepared: Prepared, patience: _Patience, *, may_raise: bool) -> None:
        #: Django names by this what it has called.
        self.__qualname__ = "the hand-over of mail"
        self.patience = patience
        self.is_done = False
        self._prepared = prepared
        self._may_raise = may_raise

    def __call__(self) -> None:
        self.is_done = True
        began = time.monotonic()
        try:
            with deadline.within(self.patience.left()):
                self._prepared.hand_over()
        except Exception as error:
            self.patience.waste(time.monotonic() - began)
            if self._may_raise:
                raise
            _log(self._prepared, error)


def _patience(conf: Settings) -> _Patience:
    """Return that of the transaction's other mail, if there is some that has not been handed over."""
    for _, callback, *_ in reversed(transaction.get_connection(conf.MAILWORKER_ON_COMMIT_USING).run_on_commit):
        # In a TestCase, whose transaction never ends, those of earlier captures are there as well.
        if isinstance(callback, _Committed) and not callback.is_done:
            return callback.patience
    return _Patience(conf.MAILWORKER_ENQUEUE_TIMEOUT)


def _log(prepared: Prepared, error: Exception) -> None:
    """Say which mails of a committed transaction the queue may not have, without an address."""
    accepted = set(error.accepted) if isinstance(error, EnqueueError) else set()
    lost = [one for one in prepared.composed if one.mail.id not in accepted]
    ids = [one.mail.id for one in lost]
    domains = sorted({domain for one in lost for domain in one.domains})
    logger.error(
        "mail of a committed transaction was not handed over: mail_id=%s to %s: %s",
        _listed(ids),
        _listed(domains),
        loggable(error),
        extra={"event": "on_commit_failed", "mail_ids": ids, "domains": domains},
    )


def _listed(words: list[str]) -> str:
    more = f" and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
    return ",".join(words[:_NAMED]) + more
