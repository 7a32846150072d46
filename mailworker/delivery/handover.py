"""Hand a batch to a backend so that afterwards every message is accounted for.

A backend of ours takes the batch whole and keeps the journal. Any other gets one message a call on its open connection,
so that it is known which one failed, and the message in the form that the framework around says it expects. When this returns, each message is recorded or was told to wait; when it raises
`MailerUnavailable`, what is not recorded was not sent.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from mailworker import framework as frameworks
from mailworker import log
from mailworker.delivery import foreign
from mailworker.delivery.attempt import Attempt
from mailworker.delivery.journal import BatchJournal
from mailworker.mail.address import envelope_recipients
from mailworker.outcome import Outcome, OutcomeClass

logger = log.get(__name__)


def send(backend: Any, batch: Sequence[Attempt], journal: BatchJournal) -> None:
    """Send a batch through an open backend.

    Args:
        backend: any backend with `send_messages`.
        batch: attempts of one mailer and login.
        journal: hears of each message.

    Raises:
        MailerUnavailable: the relay was lost and could not be reached again.
    """
    if keeps_journal(backend):
        _send_whole(backend, batch, journal)
    else:
        _send_one_by_one(backend, batch, journal)
    for one in journal.unsettled():
        # A backend that lets a message fall must not make the worker claim it for ever: that is a charged attempt.
        if not journal.was_refused(one) and journal.beginning(one.message):
            silence = Outcome(OutcomeClass.DEFERRED, None, "the backend said nothing about it")
            journal.settle(one.message, dict.fromkeys(envelope_recipients(one.message), silence))


def keeps_journal(backend: Any) -> bool:
    """Tell whether a backend reports outcomes and takes `journal=` (a subclass may have lost either)."""
    if not getattr(backend, "reports_outcomes", False):
        return False
    parameters = inspect.signature(backend.send_messages).parameters.values()
    return any(p.name == "journal" or p.kind is p.VAR_KEYWORD for p in parameters)


def _send_whole(backend: Any, batch: Sequence[Attempt], journal: BatchJournal) -> None:
    try:
        backend.send_messages([one.message for one in batch], journal=journal)
    except BaseException as error:  # noqa: BLE001 - what is none of the backend's failures is raised below
        # By contract it went on after the failure and raised it at the end.
        _settle_reported(journal)
        _raise_if_not_of_message(error, batch[0])
        for one in journal.unsettled():
            if journal.was_begun(one):
                journal.settle(one.message, foreign.outcomes(error, tuple(envelope_recipients(one.message)), backend))
    _settle_reported(journal)


def _settle_reported(journal: BatchJournal) -> None:
    """Record messages whose outcomes stand although the backend did not call `settled`."""
    for one in journal.unsettled():
        journal.settled(one.message)


def _send_one_by_one(backend: Any, batch: Sequence[Attempt], journal: BatchJournal) -> None:
    reports = getattr(backend, "reports_outcomes", False)
    framework = frameworks.current()
    is_open = True
    for one in batch:
        if not is_open:
            _open(backend, one)
            is_open = True
        if not journal.beginning(one.message) or not journal.committing(one.message):
            continue
        # As the ledger knows them: in the message they may have names.
        tried = tuple(envelope_recipients(one.message))
        lent = one.message
        try:
            lent = lent if reports else framework.lent(backend, one.message)
            count = backend.send_messages([lent])
        except BaseException as error:  # noqa: BLE001 - any backend, any exception: DESIGN §9's last row
            _raise_if_not_of_message(error, one)
            told = one.message.outcomes if reports else framework.answer(lent, tried, error)
            journal.settle(one.message, told or foreign.outcomes(error, tried, backend))
            logger.warning(
                "%s: mail_id=%s",
                foreign.blame(backend, error),
                one.leased.mail.id,
                extra={"mail_id": one.leased.mail.id, "mailer": one.leased.mail.mailer},
            )
            # Nobody knows what state the failure left the connection in.
            _close(backend)
            is_open = False
            continue
        if reports and one.message.outcomes:
            journal.settled(one.message)
        elif count is not None and not count:
            unsent = Outcome(OutcomeClass.DEFERRED, None, "the backend says that it sent nothing")
            told = None if reports else framework.answer(lent, tried, None)
            journal.settle(one.message, told or dict.fromkeys(tried, unsent))
        elif told := None if reports else framework.answer(lent, tried, None):
            journal.settle(one.message, told)
        else:
            taken = Outcome(OutcomeClass.ACCEPTED, None, f"taken by {type(backend).__module__}")
            journal.settle(one.message, dict.fromkeys(tried, taken))


def _raise_if_not_of_message(error: BaseException, one: Attempt) -> None:
    """Pass on what is meant for this process, and what says that there is no session with the relay."""
    if not foreign.is_failure(error):
        raise error
    if foreign.is_of_relay(error):
        raise foreign.unavailable(one.leased.mail.mailer, error) from error


def _open(backend: Any, one: Attempt) -> None:
    try:
        backend.open()
    except BaseException as error:
        if not foreign.is_failure(error):
            raise
        raise foreign.unavailable(one.leased.mail.mailer, error) from error


def _close(backend: Any) -> None:
    try:
        backend.close()
    except BaseException as error:
        # A backend that cannot close leaves nothing for us to mend.
        if not foreign.is_failure(error):
            raise
        logger.debug("backend %s could not close: %s", type(backend).__module__, type(error).__name__)
