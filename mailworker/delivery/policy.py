"""What follows from the outcomes of an attempt: done, try again at t, give up, or wait for a person (DESIGN §9).

Pure: no clock, no random source, no I/O of its own. It decides about one mail; what is the mailer's trouble (a relay
that cannot be reached, a login refused) never comes here, since no mail is charged for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailworker.outcome import Outcome, OutcomeClass
from mailworker.spool.record import Mail


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How patient a worker is.

    Attributes:
        schedule: seconds to wait after the first, second, ... charged attempt; the last one repeats.
        jitter: share by which a wait may be shorter or longer, 0.2 = 20 %.
        give_up_after: seconds after the first charged attempt; snoozed time does not count.
        max_attempts: charged attempts at most, None = as many as fit into `give_up_after`.
        in_doubt_resends: how often a mail that is in doubt is sent again.
    """

    schedule: Sequence[float] = (60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0)
    jitter: float = 0.2
    give_up_after: float = 86_400.0
    max_attempts: int | None = None
    in_doubt_resends: int = 1


@dataclass(frozen=True, slots=True)
class Done:
    """Every recipient was accepted."""


@dataclass(frozen=True, slots=True)
class Defer:
    """Try the remaining recipients again at `until` (seconds, the spool's clock)."""

    until: float
    resend: bool = False  #: some recipient is in doubt: the ledger counts one more resend, used up or not


@dataclass(frozen=True, slots=True)
class Bury:
    """Give up, for this reason."""

    reason: str


@dataclass(frozen=True, slots=True)
class Hold:
    """Put aside for a person, for this reason."""

    reason: str


Decision = Done | Defer | Bury | Hold


def backoff(attempt: int, schedule: Sequence[float], jitter: float, random: float) -> float:
    """Return the seconds to wait after charged attempt `attempt`, counted from 1.

    Args:
        attempt: which attempt has just failed.
        schedule: seconds for each attempt; the last one repeats.
        jitter: share of the wait by which it may vary either way.
        random: a number in [0, 1) that picks the point between the two ends.
    """
    wait = schedule[min(max(attempt, 1), len(schedule)) - 1]
    return wait * (1.0 + jitter * (2.0 * random - 1.0))


def remaining(mail: Mail, recipients: Sequence[str], policy: RetryPolicy) -> list[str]:
    """Return the recipients that the next attempt has to try, in the message's order.

    Accepted and rejected ones are settled. One that is in doubt is tried again as long as resends are left.
    """
    resendable = mail.ledger.in_doubt_resends <= policy.in_doubt_resends
    settled = mail.ledger.settled
    in_doubt = {r for r, o in mail.ledger.outcomes.items() if o.kind is OutcomeClass.IN_DOUBT}
    return [r for r in recipients if r not in settled and (resendable or r not in in_doubt)]


def decide(
    mail: Mail,
    recipients: Sequence[str],
    outcomes: Mapping[str, Outcome],
    *,
    now: float,
    random: float,
    policy: RetryPolicy,
) -> Decision:
    """Decide what becomes of a mail after an attempt.

    Args:
        mail: the record as it was claimed, without this attempt.
        recipients: all recipients of the message.
        outcomes: what this attempt brought, for the recipients that it tried.
        now: the spool's clock, seconds.
        random: a number in [0, 1) for the jitter.
        policy: how patient to be.

    Returns:
        The decision. A recipient without any outcome counts as deferred: it has to be tried.
    """
    merged = mail.ledger.merged(outcomes)
    kinds = {merged[r].kind if r in merged else OutcomeClass.DEFERRED for r in recipients}
    in_doubt = OutcomeClass.IN_DOUBT in kinds
    if kinds <= {OutcomeClass.ACCEPTED}:
        return Done()
    if in_doubt and mail.on_in_doubt == "hold":
        return Hold("in doubt: the relay may have taken it, its last reply never came")
    resends_left = mail.ledger.in_doubt_resends < policy.in_doubt_resends
    if OutcomeClass.DEFERRED not in kinds and not (in_doubt and resends_left):
        if in_doubt:
            return Bury("in doubt, and sent again as often as allowed")
        rejected = [merged[r] for r in recipients if r in merged and merged[r].kind is OutcomeClass.REJECTED]
        if any(outcome.reply for outcome in rejected):
            return Bury("rejected by the relay")
        return Bury(f"rejected before the relay saw it: {rejected[0].text}" if rejected else "rejected")
    # Counted although no resend is left, so that `remaining` leaves these recipients out from now on.
    return _later(mail, now=now, random=random, policy=policy, resend=in_doubt)


def _later(mail: Mail, *, now: float, random: float, policy: RetryPolicy, resend: bool) -> Decision:
    attempt = mail.ledger.attempts + 1
    if policy.max_attempts is not None and attempt >= policy.max_attempts:
        return Bury(f"given up after {attempt} attempts")
    first = mail.ledger.first_attempt_at if mail.ledger.first_attempt_at is not None else now
    deadline = first + policy.give_up_after + mail.ledger.snoozed
    if now >= deadline:
        return Bury(f"given up {policy.give_up_after:g} s after the first attempt")
    # The last attempt falls on the deadline itself, so that the whole time given is used.
    until = min(now + backoff(attempt, policy.schedule, policy.jitter, random), deadline)
    if mail.expires_at is not None:
        until = min(until, mail.expires_at)
    return Defer(until, resend=resend)
