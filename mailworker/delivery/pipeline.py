"""The one way from the spool to the relay: claim, prepare, send, decide, record (DESIGN §3).

It runs over any spool and any backend. It decides nothing by itself about a mail (`policy` does) and keeps no state of
its own between two batches. What is wrong with one mail never stops the ones beside it; what is wrong with the relay
pauses the mailer and charges no mail.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mailworker import log
from mailworker.delivery import attempt, handover, policy
from mailworker.delivery.attempt import Attempt, Settled
from mailworker.delivery.connections import Connections, Login
from mailworker.delivery.journal import BatchJournal
from mailworker.errors import MailerUnavailable, Trouble
from mailworker.lane import LANES, Lane
from mailworker.outcome import Outcome, OutcomeClass
from mailworker.spool.base import Leased, Spool

logger = log.get(__name__)

#: Troubles that no waiting mends: a person has to look, so the log record is an error.
_NEEDS_PERSON = frozenset({Trouble.AUTH_REFUSED, Trouble.CONFIGURATION})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How a worker goes about a batch.

    Attributes:
        batch_size: mails that one claim takes at most.
        lease: seconds that a claim holds them.
        transaction: seconds that one transaction may last at the very most, final reply included.
        relay_backoff: seconds that a mailer pauses after its first, second, ... trouble; the last one repeats.
    """

    batch_size: int = 50
    lease: float = 60.0
    transaction: float = 900.0
    relay_backoff: Sequence[float] = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0)


class Pipeline:
    """Delivers what a spool has ready.

    Args:
        spool: the queue.
        codec: opens payloads.
        connections: open backends.
        retry: how patient to be with a mail.
        pace: batch size, lease, deadlines.
        random: a number in [0, 1) at each call, for jitter.
        should_stop: asked before each message; True leaves it and all after it to others.
    """

    def __init__(
        self,
        spool: Spool,
        codec: attempt.Decoder,
        connections: Connections,
        *,
        retry: policy.RetryPolicy,
        pace: Pace,
        random: Callable[[], float],
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        self._spool = spool
        self._codec = codec
        self._connections = connections
        self._retry = retry
        self._pace = pace
        self._random = random
        self._should_stop = should_stop

    def run(self, lanes: Sequence[Lane] = LANES) -> int:
        """Deliver until nothing is ready, or until told to stop.

        Returns:
            The number of mails that were claimed.
        """
        total = 0
        while not self._should_stop():
            claimed = self.run_batch(lanes)
            if not claimed:
                break
            total += claimed
        return total

    def run_batch(self, lanes: Sequence[Lane] = LANES) -> int:
        """Claim one batch and deliver it; return the number of mails claimed."""
        claim = self._spool.claim(lanes, self._pace.batch_size, self._pace.lease)
        batches: dict[Login, list[Attempt]] = {}
        for leased in claim.leased:
            prepared = attempt.prepare(leased, self._codec, self._retry)
            if isinstance(prepared, Settled):
                self._settle(leased, prepared)
            else:
                batches.setdefault(prepared.login, []).append(prepared)
        for login, batch in batches.items():
            self._deliver(batch[0].leased.mail.mailer, login, batch)
        return len(claim.leased)

    def _settle(self, leased: Leased, settled: Settled) -> None:
        if settled.broken:
            self._spool.bury(leased, {}, settled.broken)
            self._tell(logging.ERROR, "mail is dead: its payload cannot be read", leased, {})
        else:
            self._record(leased, settled.recipients, settled.outcomes, at_once=True)

    def _deliver(self, mailer: str, login: Login, batch: list[Attempt]) -> None:
        journal = BatchJournal(batch, self._begin, self._record_attempt)
        wait_until = self._spool.now()
        try:
            if not self._should_stop():
                with self._connections.use(mailer, login) as backend:
                    handover.send(backend, batch, journal)
        except MailerUnavailable as trouble:
            if login is not None and trouble.trouble in (Trouble.AUTH_REFUSED, Trouble.AUTH_TEMPORARY):
                self._login_refused(journal.unsettled(), trouble)
                return
            wait_until = self._pause(mailer, trouble, len(journal.unsettled()))
        else:
            self._recovered(mailer, journal.reached_relay)
        for one in journal.unsettled():
            self._spool.snooze(one.leased, wait_until)

    def _begin(self, one: Attempt) -> bool:
        """Charge the attempt, unless the worker is to stop or the lease is gone."""
        return not self._should_stop() and self._spool.mark(one.leased, self._pace.transaction)

    def _record_attempt(self, one: Attempt) -> None:
        self._record(one.leased, one.recipients, one.message.outcomes)

    def _pause(self, mailer: str, trouble: MailerUnavailable, mails: int) -> float:
        """Close the mailer's gate for a while; return until when."""
        jitter = 1.0 + self._retry.jitter * (2.0 * self._random() - 1.0)
        reason = f"{trouble.trouble.value}: {trouble}"
        until = self._spool.trip(mailer, [wait * jitter for wait in self._pace.relay_backoff], reason)
        logger.log(
            logging.ERROR if trouble.trouble in _NEEDS_PERSON else logging.WARNING,
            "mailer %s pauses for %.0f s, mails that wait: %d (%s): %s",
            mailer,
            until - self._spool.now(),
            mails,
            trouble.trouble.value,
            trouble,
            extra={"mailer": mailer, "trouble": trouble.trouble.value, "mails": mails},
        )
        return until

    def _recovered(self, mailer: str, reached_relay: bool) -> None:
        if reached_relay and self._spool.mailer_state(mailer).failures:
            self._spool.recover(mailer)
            logger.info("mailer %s works again", mailer, extra={"mailer": mailer})

    def _login_refused(self, batch: Iterable[Attempt], trouble: MailerUnavailable) -> None:
        """Defer mails whose own login was refused: that is their trouble, and not the mailer's."""
        refused = Outcome(OutcomeClass.DEFERRED, trouble.reply, str(trouble))
        for one in batch:
            mail = one.leased.mail
            logger.warning(
                "the login of a mail itself is refused (%s): mail_id=%s mailer=%s",
                trouble.trouble.value,
                mail.id,
                mail.mailer,
                extra={"mail_id": mail.id, "mailer": mail.mailer, "trouble": trouble.trouble.value},
            )
            if self._spool.mark(one.leased, self._pace.lease):
                self._record(one.leased, one.recipients, dict.fromkeys(one.message.recipients(), refused))

    def _record(
        self, leased: Leased, recipients: Sequence[str], outcomes: Mapping[str, Outcome], *, at_once: bool = False
    ) -> None:
        """Decide what follows from outcomes and write it down.

        Args:
            leased: the mail.
            recipients: all of its recipients.
            outcomes: of those that were tried.
            at_once: a further try need not wait, since no relay has just asked us to.
        """
        now = self._spool.now()
        decision = policy.decide(leased.mail, recipients, outcomes, now=now, random=self._random(), policy=self._retry)
        match decision:
            case policy.Done():
                ours = self._spool.done(leased, outcomes)
                level, what = logging.INFO, "mail accepted"
            case policy.Defer(until=until, resend=resend):
                ours = self._spool.defer(leased, now if at_once else until, outcomes, resend=resend)
                level, what = logging.INFO, f"mail deferred for {0.0 if at_once else until - now:.0f} s"
            case policy.Hold(reason=reason):
                ours = self._spool.hold(leased, outcomes, reason)
                level, what = logging.ERROR, f"mail is held: {reason}"
            case policy.Bury(reason=reason):
                ours = self._spool.bury(leased, outcomes, reason)
                silent = leased.mail.fail_silently
                level, what = (logging.INFO, "mail dropped") if silent else (logging.ERROR, "mail is dead")
                what = f"{what}: {reason}"
        self._tell(level, what, leased, outcomes)
        if not ours:
            self._tell(logging.WARNING, "lease was lost before the outcome could be recorded", leased, outcomes)

    def _tell(self, level: int, what: str, leased: Leased, outcomes: Mapping[str, Outcome]) -> None:
        """Log what happened to a mail: ids, domains and codes, never an address or a relay's words."""
        mail = leased.mail
        fields = {
            "mail_id": mail.id,
            "mailer": mail.mailer,
            "lane": mail.lane.value,
            "attempt": mail.ledger.attempts + 1,
            "domains": log.domains(list(outcomes)),
            "outcomes": ",".join(sorted({o.kind.value for o in outcomes.values()})),
            "codes": ",".join(sorted({str(o.reply.code) for o in outcomes.values() if o.reply})),
        }
        shown = " ".join(f"{name}={value}" for name, value in fields.items() if value != "")
        logger.log(level, "%s: %s", what, shown, extra=fields)
