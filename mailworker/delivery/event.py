"""What is told of a mail or a mailer when something has happened to it: to the log, and to whoever listens.

A mail's event is told after the spool has taken it down, so that it is never ahead of what `status` shows. It names ids,
domains and codes, never an address or a relay's words. A listener that fails harms no delivery: its failure is logged by
the name of its class.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from mailworker import log
from mailworker.lane import Lane
from mailworker.outcome import Outcome
from mailworker.spool.base import Ended
from mailworker.spool.record import Mail, State

logger = log.get(__name__)


MailKind = Literal["sent", "deferred", "dead", "dropped", "held", "expired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MailEvent:
    """What became of one mail after an attempt.

    Attributes:
        kind: "sent", "deferred" (tried again later), "dead" or "dropped" (given up), "held" (waits for a person), "expired"
            (its time was over before anybody tried it).
        mail_id: whose.
        mailer: alias of its mailer.
        lane: which lane it travels in.
        group: name of the set that it belongs to.
        attempt: which one this was, counted from 1; 0 if there was none.
        domains: of the recipients that were tried, sorted.
        codes: of the relay's replies, sorted.
        outcomes: classes of the outcomes, sorted (`mailworker.outcome.OutcomeClass`).
        until: the spool's time of the next attempt, seconds; None unless deferred.
        reason: why it is given up or held, without an address; empty otherwise.
    """

    kind: MailKind
    mail_id: str
    mailer: str
    lane: Lane
    group: str | None = None
    attempt: int = 1
    domains: tuple[str, ...] = ()
    codes: tuple[int, ...] = ()
    outcomes: tuple[str, ...] = ()
    until: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailerEvent:
    """A mailer's relay is in trouble, or works again.

    Attributes:
        kind: "paused" or "recovered".
        mailer: its alias.
        trouble: what happened (`mailworker.errors.Trouble`); empty when it works again.
        until: the spool's time at which it is tried again, seconds; None when it works again.
    """

    kind: Literal["paused", "recovered"]
    mailer: str
    trouble: str = ""
    until: float | None = None


Event = MailEvent | MailerEvent


def of_mail(
    kind: MailKind,
    mail: Mail,
    outcomes: Mapping[str, Outcome],
    attempt: int,
    *,
    until: float | None = None,
    reason: str = "",
) -> MailEvent:
    """Return the event of a mail after an attempt.

    Args:
        kind: what became of it.
        mail: its record as it was claimed, without this attempt.
        outcomes: what the attempt brought.
        attempt: which one it was, counted from 1; of one that needed no attempt, how many there were before.
        until: when it is tried again, the spool's seconds.
        reason: why it is given up or held.
    """
    return MailEvent(
        kind=kind,
        mail_id=mail.id,
        mailer=mail.mailer,
        lane=mail.lane,
        group=mail.group,
        attempt=attempt,
        domains=tuple(sorted(set(map(log.domain, outcomes)))),
        codes=tuple(sorted({o.reply.code for o in outcomes.values() if o.reply})),
        outcomes=tuple(sorted({o.kind.value for o in outcomes.values()})),
        until=until,
        reason=reason,
    )


def of_ended(ended: Ended) -> MailEvent:
    """Return the event of a mail that a claim has brought to its end."""
    kinds: dict[State, MailKind] = {State.EXPIRED: "expired", State.DEAD: "dead", State.DROPPED: "dropped"}
    return MailEvent(
        kind=kinds[ended.state],
        mail_id=ended.mail_id,
        mailer=ended.mailer,
        lane=ended.lane,
        group=ended.group,
        attempt=ended.attempts,
        reason=ended.reason,
    )


class Events:
    """Logs what happens, and tells a listener.

    Args:
        tell: the listener, None if there is none.
    """

    def __init__(self, tell: Callable[[Event], None] | None = None) -> None:
        self._listener = tell

    def mail(self, event: MailEvent, level: int, what: str, *, is_recorded: bool = True) -> None:
        """Log what became of a mail, and tell it.

        Args:
            event: what it is.
            level: of the log record.
            what: the record's first words.
            is_recorded: False if the lease was lost first: it is logged, and not told, since another worker has the mail.
        """
        if logger.isEnabledFor(level):
            fields: dict[str, object] = {
                "mail_id": event.mail_id,
                "mailer": event.mailer,
                "lane": event.lane.value,
                "attempt": event.attempt,
                "domains": ",".join(event.domains),
                "outcomes": ",".join(event.outcomes),
                "codes": ",".join(map(str, event.codes)),
            }
            shown = " ".join([f"{name}={value}" for name, value in fields.items() if value != ""])
            if is_recorded:
                fields["event"] = f"mail_{event.kind}"
            logger.event(level, f"{what}: {shown}", fields)
        if is_recorded:
            self._tell(event)

    def mailer(self, event: MailerEvent, level: int, what: str, **fields: object) -> None:
        """Log what happened to a mailer, and tell it.

        Args:
            event: what it is.
            level: of the log record.
            what: the record's words.
            fields: more fields of the record.
        """
        named: dict[str, object] = {"event": f"mailer_{event.kind}", "mailer": event.mailer}
        if event.kind == "paused":
            named |= {"trouble": event.trouble, "until": event.until}
        logger.log(level, "%s", what, extra={**named, **fields})
        self._tell(event)

    def bulk_paused(self, bulk: str, mailer: str, reason: str) -> None:
        """Log that a bulk was paused by its worker."""
        extra = {"event": "bulk_paused", "group": bulk, "mailer": mailer, "reason": reason}
        logger.log(logging.ERROR, "bulk %s is paused: %s", bulk, reason, extra=extra)

    def warn(self, what: str, mail: Mail, **fields: object) -> None:
        """Log what went wrong with a mail that is no event of its own."""
        extra = {"mail_id": mail.id, "mailer": mail.mailer, **fields}
        logger.log(logging.WARNING, "%s: mail_id=%s mailer=%s", what, mail.id, mail.mailer, extra=extra)

    def _tell(self, event: Event) -> None:
        if self._listener is None:
            return
        try:
            self._listener(event)
        except Exception as error:  # noqa: BLE001 - a listener's failure is not the mail's
            logger.warning("a listener failed at a %s event: %s", event.kind, type(error).__name__)
