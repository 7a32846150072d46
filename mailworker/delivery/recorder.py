"""What is written down after an attempt, and told: the decision on a mail's outcomes, as the spool's word for it.

`policy` decides; the spool keeps; this says the one to the other, and logs what came of it. Between the word and what is told
of it stands the spool's answer, which need not be waited for at once. It raises only what the spool raises when this process
is being killed: then nothing has been told either.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mailworker.delivery import event, policy
from mailworker.delivery.event import Events, MailEvent
from mailworker.delivery.steady import SteadySpool
from mailworker.outcome import Outcome, OutcomeClass
from mailworker.smtp.reply import hide_addresses
from mailworker.spool.base import Ended, Leased
from mailworker.spool.record import State

_UNANSWERED = Outcome(OutcomeClass.DEFERRED, None, "the backend gave no answer for this recipient")


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One of the words that end a lease, and what is told once the spool has it.

    Attributes:
        kind: which word.
        leased: of which mail.
        outcomes: of its recipients.
        until: when it is tried again, if it is deferred.
        resend: that is a resend in doubt.
        reason: why it is given up or held.
        keep: it is kept although its sender had asked to fail silently.
        told: what has become of it.
        level: of the log record.
        what: its first words.
    """

    kind: Literal["done", "defer", "hold", "bury", "drop"]
    leased: Leased
    outcomes: Mapping[str, Outcome]
    told: MailEvent
    level: int
    what: str
    until: float = 0.0
    resend: bool = False
    reason: str = ""
    keep: bool = False


class Recorder:
    """Decides and records.

    Args:
        spool: the queue.
        retry: how patient to be with a mail.
        random: a number in [0, 1) at each call, for jitter.
        events: hears of each mail.
    """

    def __init__(
        self, spool: SteadySpool, retry: policy.RetryPolicy, random: Callable[[], float], events: Events
    ) -> None:
        self._spool = spool
        self._retry = retry
        self._random = random
        self._events = events

    def word(
        self, leased: Leased, recipients: Sequence[str], outcomes: Mapping[str, Outcome], *, at_once: bool = False
    ) -> Word:
        """Decide what follows from outcomes.

        Args:
            leased: the mail.
            recipients: all of its recipients.
            outcomes: of those that were tried.
            at_once: a further try need not wait, since no relay has just asked us to.
        """
        mail = leased.mail
        if not at_once and outcomes.keys() == set(recipients) and _are_accepted(outcomes):
            # What nearly all are needs no policy, whatever the ledger says: with these, every recipient was accepted.
            told = event.of_mail("sent", mail, outcomes, mail.ledger.attempts + 1)
            return _word("done", leased, outcomes, told, logging.INFO, "mail accepted")
        now = self._spool.now()
        # What is settled without an attempt has none to its account.
        attempt = mail.ledger.attempts + (not at_once)
        if outcomes:
            # The spool has to hear of every recipient: a backend may have answered for some only.
            known = mail.ledger.outcomes
            outcomes = {**{r: _UNANSWERED for r in recipients if r not in outcomes and r not in known}, **outcomes}
        match policy.decide(mail, recipients, outcomes, now=now, random=self._random(), policy=self._retry):
            case policy.Done():
                told = event.of_mail("sent", mail, outcomes, attempt)
                return _word("done", leased, outcomes, told, logging.INFO, "mail accepted")
            case policy.Defer(until=until, resend=resend):
                until = now if at_once else until
                told = event.of_mail("deferred", mail, outcomes, attempt, until=until)
                what = f"mail deferred for {until - now:.0f} s{_without_reply(outcomes)}"
                return _word("defer", leased, outcomes, told, logging.INFO, what, until=until, resend=resend)
            case policy.Hold(reason=reason):
                told = event.of_mail("held", mail, outcomes, attempt, reason=reason)
                what = f"mail is held: {reason}"
                return _word("hold", leased, outcomes, told, logging.ERROR, what, reason=reason)
            case policy.Bury(reason=reason):
                kind: event.MailKind = "dropped" if mail.fail_silently else "dead"
                told = event.of_mail(kind, mail, outcomes, attempt, reason=reason)
                level, what = _given_up(reason, is_dropped=mail.fail_silently)
                return _word("bury", leased, outcomes, told, level, what, reason=reason)

    def say(self, word: Word) -> bool:
        """Say it until the spool has taken it; return whether the lease was still ours.

        Raises:
            SpoolUnavailable: it could not be said before the process ends.
        """
        leased, outcomes = word.leased, word.outcomes
        match word.kind:
            case "done":
                return self._spool.done(leased, outcomes)
            case "defer":
                return self._spool.defer(leased, word.until, outcomes, resend=word.resend)
            case "hold":
                return self._spool.hold(leased, outcomes, word.reason)
            case "bury":
                return self._spool.bury(leased, outcomes, word.reason, keep=word.keep)
            case "drop":
                return self._spool.drop(leased, word.reason)

    def tell(self, word: Word, *, is_ours: bool) -> None:
        """Log a word that the spool has taken, and tell of it.

        Args:
            word: which one.
            is_ours: the lease was still ours.
        """
        # Who was accepted is true whoever has the lease now; what is to follow is for its holder to say.
        is_recorded = is_ours or word.told.kind == "sent"
        self._events.mail(word.told, word.level, word.what, is_recorded=is_recorded)
        if not is_ours:
            self._events.warn("lease was lost before the outcome could be recorded", word.leased.mail)

    def ended(self, ended: Ended) -> None:
        """Tell of a mail that a claim has brought to its end."""
        if ended.state is State.EXPIRED:
            level, what = logging.WARNING, "mail expired"
        else:
            level, what = _given_up(ended.reason, is_dropped=ended.state is State.DROPPED)
        self._events.mail(event.of_ended(ended), level, what)

    def unreadable(self, leased: Leased, reason: str) -> Word:
        """Return the word on a mail whose payload is no message."""
        mail = leased.mail
        told = event.of_mail("dead", mail, {}, mail.ledger.attempts, reason=reason)
        what = "mail is dead: its payload cannot be read"
        return _word("bury", leased, {}, told, logging.ERROR, what, reason=reason, keep=True)

    def unwanted(self, leased: Leased, reason: str) -> Word:
        """Return the word on a mail that nobody wants any more."""
        told = event.of_mail("dropped", leased.mail, {}, leased.mail.ledger.attempts, reason=reason)
        return _word("drop", leased, {}, told, logging.INFO, f"mail dropped: {reason}", reason=reason)


def _are_accepted(outcomes: Mapping[str, Outcome]) -> bool:
    return all(outcome.kind is OutcomeClass.ACCEPTED for outcome in outcomes.values())


def _word(
    kind: Literal["done", "defer", "hold", "bury", "drop"],
    leased: Leased,
    outcomes: Mapping[str, Outcome],
    told: MailEvent,
    level: int,
    what: str,
    **more: Any,
) -> Word:
    return Word(kind=kind, leased=leased, outcomes=outcomes, told=told, level=level, what=what, **more)


def _without_reply(outcomes: Mapping[str, Outcome]) -> str:
    """Return why mail is deferred where no code of the relay's says it; a foreign backend's words may hold an address."""
    text = next((outcome.text for outcome in outcomes.values() if not outcome.reply), "")
    return f" ({hide_addresses(text)[:100]})" if text else ""


def _given_up(reason: str, *, is_dropped: bool) -> tuple[int, str]:
    """Return level and first words of the record of a mail that is given up."""
    return (logging.INFO, f"mail dropped: {reason}") if is_dropped else (logging.ERROR, f"mail is dead: {reason}")
