"""What is written down after an attempt, and told: the decision on a mail's outcomes, as the spool's word for it.

`policy` decides; the spool keeps; this says the one to the other, and logs what came of it. It raises only what the spool
raises when this process is being killed: then nothing has been told either.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from mailworker.delivery import event, policy
from mailworker.delivery.event import Events
from mailworker.delivery.steady import SteadySpool
from mailworker.outcome import Outcome, OutcomeClass
from mailworker.spool.base import Ended, Leased
from mailworker.spool.record import State

_UNANSWERED = Outcome(OutcomeClass.DEFERRED, None, "the backend gave no answer for this recipient")


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

    def record(
        self, leased: Leased, recipients: Sequence[str], outcomes: Mapping[str, Outcome], *, at_once: bool = False
    ) -> None:
        """Decide what follows from outcomes and write it down.

        Args:
            leased: the mail.
            recipients: all of its recipients.
            outcomes: of those that were tried.
            at_once: a further try need not wait, since no relay has just asked us to.

        Raises:
            SpoolUnavailable: it could not be recorded before the process ends.
        """
        now = self._spool.now()
        mail = leased.mail
        # What is settled without an attempt has none to its account.
        attempt = mail.ledger.attempts + (not at_once)
        if outcomes:
            # The spool has to hear of every recipient: a backend may have answered for some only.
            known = mail.ledger.outcomes
            outcomes = {**{r: _UNANSWERED for r in recipients if r not in outcomes and r not in known}, **outcomes}
        match policy.decide(mail, recipients, outcomes, now=now, random=self._random(), policy=self._retry):
            case policy.Done():
                ours = self._spool.done(leased, outcomes)
                told = event.of_mail("sent", mail, outcomes, attempt)
                level, what = logging.INFO, "mail accepted"
            case policy.Defer(until=until, resend=resend):
                until = now if at_once else until
                ours = self._spool.defer(leased, until, outcomes, resend=resend)
                told = event.of_mail("deferred", mail, outcomes, attempt, until=until)
                level, what = logging.INFO, f"mail deferred for {until - now:.0f} s"
            case policy.Hold(reason=reason):
                ours = self._spool.hold(leased, outcomes, reason)
                told = event.of_mail("held", mail, outcomes, attempt, reason=reason)
                level, what = logging.ERROR, f"mail is held: {reason}"
            case policy.Bury(reason=reason):
                ours = self._spool.bury(leased, outcomes, reason)
                told = event.of_mail(
                    "dropped" if mail.fail_silently else "dead", mail, outcomes, attempt, reason=reason
                )
                level, what = _given_up(reason, is_dropped=mail.fail_silently)
        # Who was accepted is true whoever has the lease now; what is to follow is for its holder to say.
        self._events.mail(told, level, what, is_recorded=ours or told.kind == "sent")
        if not ours:
            self._events.warn("lease was lost before the outcome could be recorded", mail)

    def ended(self, ended: Ended) -> None:
        """Tell of a mail that a claim has brought to its end."""
        if ended.state is State.EXPIRED:
            level, what = logging.WARNING, "mail expired"
        else:
            level, what = _given_up(ended.reason, is_dropped=ended.state is State.DROPPED)
        self._events.mail(event.of_ended(ended), level, what)

    def bury_unreadable(self, leased: Leased, reason: str) -> None:
        """Give up a mail whose payload is no message.

        Raises:
            SpoolUnavailable: it could not be recorded before the process ends.
        """
        mail = leased.mail
        ours = self._spool.bury(leased, {}, reason, keep=True)
        told = event.of_mail("dead", mail, {}, mail.ledger.attempts, reason=reason)
        self._events.mail(told, logging.ERROR, "mail is dead: its payload cannot be read", is_recorded=ours)


def _given_up(reason: str, *, is_dropped: bool) -> tuple[int, str]:
    """Return level and first words of the record of a mail that is given up."""
    return (logging.INFO, f"mail dropped: {reason}") if is_dropped else (logging.ERROR, f"mail is dead: {reason}")
