"""When mail is handed over in Django: at the commit of the transaction it is sent in, so that a rollback sends nothing.

Without a transaction it goes at once. A queue that is broken at the commit harms neither the response nor the other callbacks, unless
MAILWORKER_ON_COMMIT_FAILURE says that it shall.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction
from django.utils.connection import ConnectionDoesNotExist

from mailworker import log
from mailworker.errors import ConfigurationError, EnqueueError, MailworkerError

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

    def committed() -> None:
        try:
            prepared.hand_over()
        except Exception as error:
            if may_raise:
                raise
            _log(prepared, error)

    # Robust where nothing may come of it: the callbacks behind it run, whatever happens here.
    transaction.on_commit(committed, using=conf.MAILWORKER_ON_COMMIT_USING, robust=not may_raise)


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
        # Only our own exceptions are known to hold no address.
        error if isinstance(error, MailworkerError) else type(error).__name__,
        extra={"event": "on_commit_failed", "mail_ids": ids, "domains": domains},
    )


def _listed(words: list[str]) -> str:
    more = f" and {len(words) - _NAMED} more" if len(words) > _NAMED else ""
    return ",".join(words[:_NAMED]) + more
