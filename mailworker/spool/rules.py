"""What happens to a mail's record, step by step: pure functions that every spool obeys (DESIGN §8).

They know neither clock nor storage nor gate. A spool in another language (Lua) states the same rules again; the
conformance suite holds both to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from enum import Enum, auto

from mailworker.outcome import Outcome, OutcomeClass
from mailworker.spool.base import MAX_LAPSES
from mailworker.spool.record import Ledger, Mail


class Verdict(Enum):
    """What a claim does with the mail whose turn it is."""

    GIVE = auto()  #: to the worker
    GIVE_ALONE = auto()  #: to the worker, with no other beside it: an earlier lease lapsed
    EXPIRE = auto()  #: its time is over, and nobody has tried it
    GIVE_UP = auto()  #: its time is over, and the relay has been tried: its outcomes are kept for a person
    BURY = auto()  #: it has lost its workers too often


def verdict(mail: Mail, now: float, *, has_lapsed: bool) -> Verdict:
    """Decide what a claim does with a mail that is due.

    Args:
        mail: its record, which does not count the last lapse yet.
        now: seconds.
        has_lapsed: its last lease ran out without a word.
    """
    lapses = mail.ledger.lapses + has_lapsed
    if mail.expires_at is not None and mail.expires_at <= now:
        return Verdict.GIVE_UP if mail.ledger.attempts else Verdict.EXPIRE
    if lapses >= MAX_LAPSES:
        return Verdict.BURY
    return Verdict.GIVE_ALONE if lapses else Verdict.GIVE


def lapsed(ledger: Ledger, *, was_marked: bool) -> Ledger:
    """Return the ledger after a lease that ran out without a word; with its mark, a second copy may come to exist."""
    return replace(ledger, lapses=ledger.lapses + 1, in_doubt=ledger.in_doubt or was_marked)


def charged(ledger: Ledger, now: float) -> Ledger:
    """Return the ledger after a mark: one attempt more."""
    first = ledger.first_attempt_at
    return replace(ledger, attempts=ledger.attempts + 1, first_attempt_at=now if first is None else first)


def refunded(ledger: Ledger, pause: float, *, was_marked: bool) -> Ledger:
    """Return the ledger after a snooze: as if the lease had never been, and the pause does not count as waiting.

    Args:
        ledger: as it is now; what has been merged into it since the claim stays.
        pause: seconds that the snooze lasts.
        was_marked: the lease had charged an attempt.
    """
    attempts = max(ledger.attempts - was_marked, 0)
    first = ledger.first_attempt_at if attempts else None
    snoozed = ledger.snoozed + max(pause, 0.0) if first is not None else ledger.snoozed
    return replace(ledger, attempts=attempts, first_attempt_at=first, snoozed=snoozed)


def heard(
    ledger: Ledger, outcomes: Mapping[str, Outcome], *, was_marked: bool, resend: bool = False, reason: str = ""
) -> Ledger:
    """Return the ledger after a word from the worker that holds the lease.

    Args:
        ledger: as it is now.
        outcomes: what the worker says became of the recipients.
        was_marked: the mail was tried, so that it has not killed this worker: its lapses are forgotten.
        resend: it will be sent again although in doubt.
        reason: why it is given up or held.
    """
    doubtful = resend or any(outcome.kind is OutcomeClass.IN_DOUBT for outcome in outcomes.values())
    return replace(
        ledger,
        outcomes=ledger.merged(outcomes) if outcomes else ledger.outcomes,
        lapses=0 if was_marked else ledger.lapses,
        in_doubt=ledger.in_doubt or doubtful,
        in_doubt_resends=ledger.in_doubt_resends + resend,
        reason=reason,
    )


def news(ledger: Ledger, outcomes: Mapping[str, Outcome]) -> Mapping[str, Outcome]:
    """Return what a worker that has lost its lease may still add: acceptances that the ledger does not know."""
    known = ledger.accepted
    return {r: o for r, o in outcomes.items() if o.kind is OutcomeClass.ACCEPTED and r not in known}


def is_accepted_throughout(ledger: Ledger) -> bool:
    """Tell whether every recipient that the ledger knows was accepted; False if it knows none."""
    return bool(ledger.outcomes) and all(o.kind is OutcomeClass.ACCEPTED for o in ledger.outcomes.values())


def replayed(mail: Mail, now: float) -> Mail:
    """Return the mail as a replay starts it: due now, fresh attempts, only what was accepted is remembered."""
    kept = {r: o for r, o in mail.ledger.outcomes.items() if o.kind is OutcomeClass.ACCEPTED}
    return replace(mail, due_at=now, ledger=Ledger(outcomes=kept, in_doubt=mail.ledger.in_doubt))
