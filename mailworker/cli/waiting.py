"""Wait for what becomes of a mail: until nothing more will happen to it by itself, or the time is over.

The spool is asked again and again, since it tells nobody by itself. A spool that is away for a moment is asked again too.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from mailworker.errors import EnqueueError

if TYPE_CHECKING:
    from mailworker.spool.record import MailStatus

#: Seconds between two looks.
_PERIOD = 0.2


def wait_for(mail_id: str, seconds: float) -> None:
    """Return when a mail is sent.

    Args:
        mail_id: whose.
        seconds: how long to wait; it is asked at least once.

    Raises:
        ClickException: it was not sent, or not in time; the text says what became of it.
    """
    from mailworker.queue import client
    from mailworker.spool.record import State

    ends_at = time.monotonic() + seconds
    while True:
        failure: EnqueueError | None = None
        status: MailStatus | None = None
        try:
            status = client.status(mail_id)
            if status is None:
                raise click.ClickException(
                    f"{mail_id} is not known any more: MAILWORKER_RETENTION is over, or it was purged"
                )
            if status.state is State.SENT:
                return
            if status.state not in (State.DUE, State.LEASED):
                raise click.ClickException("\n".join([_failed(status), *_table(status)]))
        except EnqueueError as error:
            failure = error
        if time.monotonic() >= ends_at:
            raise click.ClickException(str(failure) if status is None else _unfinished(status, seconds))
        time.sleep(max(min(_PERIOD, ends_at - time.monotonic()), 0.0))


def _failed(status: MailStatus) -> str:
    why = f": {status.reason}" if status.reason else ""
    return f"{status.id} is {status.state.value}{why}"


def _unfinished(status: MailStatus, seconds: float) -> str:
    from mailworker.cli.moment import moment

    when = ""
    if status.next_attempt_at is not None and status.next_attempt_at > time.time():
        when = f"; the next attempt is at {moment(status.next_attempt_at, time.time())}"
    elif not status.attempts:
        when = "; is a worker running (`mailworker health`), and its mailer not paused (`mailworker queue`)?"
    return "\n".join([f"not sent within {seconds:g} s, and still {status.state.value}{when}", *_table(status)])


def _table(status: MailStatus) -> list[str]:
    from mailworker.cli.status import table

    return list(table(status.outcomes))
