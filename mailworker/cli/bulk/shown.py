"""A bulk in figures and words: everything that `bulk show` tells, whatever it is told in. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mailworker.cli.bulk import speed
from mailworker.cli.bulk.standing import Phase, Standing, standing
from mailworker.cli.counted import counted
from mailworker.cli.moment import moment
from mailworker.cli.rate import rate_shown
from mailworker.mail.bulk_note import BulkNote
from mailworker.outcome import OutcomeClass
from mailworker.spool.base import MailerState
from mailworker.spool.bulk import Bulk
from mailworker.spool.record import State

#: Domains that are shown one by one.
DOMAINS = 15

#: What the domains beyond those are called, for people.
OTHERS = "(others)"


@dataclass(frozen=True, slots=True)
class Shown:
    """A bulk as it is shown.

    Attributes:
        bulk: it.
        mailer: the gate of its mailer; None = not known.
        rate: mails a second in the last ten seconds; None = not known.
    """

    bulk: Bulk
    mailer: MailerState | None = None
    rate: float | None = None

    @property
    def standing(self) -> Standing:
        """What it does, and what holds it back."""
        return standing(self.bulk, self.mailer)

    @property
    def note(self) -> BulkNote:
        """How it was started."""
        try:
            return BulkNote.decode(self.bulk.plan.note)
        except ValueError:
            return BulkNote()

    @property
    def share(self) -> float:
        """How much of it is settled, from 0 to 1."""
        total = speed.to_send(self.bulk)
        return speed.settled(self.bulk) / total if total else float(self.standing.phase is Phase.FINISHED)

    @property
    def ends_at(self) -> float | None:
        """When its last mail will have gone; None if that cannot be told, or is up to a person."""
        if self.standing.phase not in (Phase.SENDING, Phase.WAITING):
            return None
        return speed.ends_at(self.bulk, self.rate or speed.overall(self.bulk))

    @property
    def outcomes(self) -> Mapping[OutcomeClass, int]:
        """Mails by the class of their last outcome, all domains together."""
        counts: Counter[OutcomeClass] = Counter()
        for of_domain in self.bulk.outcomes.values():
            counts.update(of_domain)
        return {kind: counts[kind] for kind in OutcomeClass}

    def domains(self, most: int = DOMAINS) -> Iterator[tuple[str, Mapping[OutcomeClass, int]]]:
        """Yield the domains with most mails, the first one first, and all others together at last."""
        named = [(domain, counts) for domain, counts in self.bulk.outcomes.items() if domain]
        named.sort(key=lambda one: (-sum(one[1].values()), one[0]))
        others: Counter[OutcomeClass] = Counter(self.bulk.outcomes.get("", {}))
        for _, counts in named[most:]:
            others.update(counts)
        yield from named[:most]
        if others.total():
            yield OTHERS, others

    def facts(self) -> Iterator[tuple[str, str]]:
        """Yield labels and what stands behind them, for people."""
        bulk, now = self.bulk, self.bulk.now
        plan = bulk.plan
        yield "list", self._list()
        yield "mails", self._mails()
        yield "schedule", self._schedule()
        if self.standing.phase in (Phase.SENDING, Phase.WAITING, Phase.PAUSED, Phase.FINISHED) and bulk.began_at:
            yield "speed", self._speed()
        ends = self.ends_at
        if ends is not None:
            yield "ends", f"about {moment(ends, now)}"
        if plan.expires_at is not None:
            yield "expires", moment(plan.expires_at, now)
        yield "goes by", f"mailer {plan.mailer}, lane {plan.lane.value}"
        if self.note.template:
            yield "template", self.note.template
        if self.note.rows:
            yield "rows from", self.note.rows
        if self.note.suppress:
            yield "suppresses", self.note.suppress

    def _list(self) -> str:
        bulk = self.bulk
        parts = [f"{counted(bulk.rows, 'mail')} came in"]
        if bulk.filled_at is not None:
            parts.insert(0, f"{counted(bulk.read, 'row')} read")
            again = bulk.read - bulk.bad - bulk.rows
            parts += [f"{counted(again, 'row')} twice or known before"] if again > 0 else []
            parts += [f"{bulk.bad:,} bad"] if bulk.bad else []
        parts += [f"{bulk.suppressed:,} suppressed"] if bulk.suppressed else []
        return ", ".join(parts)

    def _mails(self) -> str:
        states = [f"{self.bulk.states[state]:,} {state.value}" for state in State if self.bulk.states.get(state)]
        states += [f"{self.bulk.forgotten:,} forgotten"] if self.bulk.forgotten else []
        return ", ".join(states) or "none"

    def _schedule(self) -> str:
        bulk, now = self.bulk, self.bulk.now
        table, plan = bulk.plan.timetable, bulk.plan
        parts = [f"begins {moment(plan.due_at, now)}" if plan.due_at > now else f"began {moment(plan.due_at, now)}"]
        if table.windows:
            closes = speed.closes_at(bulk)
            if bulk.opens_at == math.inf:
                parts.append("no hours to come")
            elif bulk.opens_at is not None and bulk.opens_at > now:
                parts.append(f"closed until {moment(bulk.opens_at, now)}")
            elif closes is not None:
                parts.append(f"open until {moment(closes, now)}")
        parts.append("no limit of its own" if table.rate is None else f"at most {rate_shown(table.rate)}")
        return "; ".join(parts)

    def _speed(self) -> str:
        overall = speed.overall(self.bulk)
        parts = []
        if self.rate is not None and self.bulk.left:
            parts.append(f"{_per_second(self.rate)} now")
        if overall is not None:
            parts.append(f"{_per_second(overall)} since the first")
        return ", ".join(parts) or "-"

    def errors(self) -> Iterator[tuple[str, str, str, str]]:
        """Yield time, domain, class and words of the last outcomes that were no acceptance, newest first."""
        for error in self.bulk.errors:
            said = str(error.outcome.reply) if error.outcome.reply is not None else error.outcome.text
            # What a relay said must not speak to the terminal.
            printable = "".join(char if char.isprintable() else " " for char in said)
            at = datetime.fromtimestamp(error.at).astimezone()
            yield f"{at:%H:%M:%S}", error.domain or OTHERS, error.outcome.kind.value, printable

    def to_json(self) -> dict[str, Any]:
        """Return plain values for `--json`; times as seconds since the epoch, UTC."""
        bulk, plan, note, now_standing = self.bulk, self.bulk.plan, self.note, self.standing
        return {
            "name": plan.name,
            "phase": now_standing.phase.value,
            "text": now_standing.text,
            "gate": bulk.gate.value,
            "reason": bulk.reason,
            "has_stopped_itself": bulk.has_stopped_itself,
            "mailer": plan.mailer,
            "lane": plan.lane.value,
            "template": note.template,
            "rows_from": note.rows,
            "suppress": note.suppress,
            "created_at": plan.created_at,
            "due_at": plan.due_at,
            "expires_at": plan.expires_at,
            "opens_at": None if bulk.opens_at is None or bulk.opens_at == math.inf else bulk.opens_at,
            "closes_at": speed.closes_at(bulk),
            "rate_limit": plan.timetable.rate,
            "max_bounces": plan.max_bounces,
            "bounce_window": plan.bounce_window,
            "read": bulk.read,
            "rows": bulk.rows,
            "suppressed": bulk.suppressed,
            "bad": bulk.bad,
            "settled": speed.settled(bulk),
            "left": bulk.left,
            "states": {state.value: bulk.states[state] for state in State if bulk.states.get(state)},
            "forgotten": bulk.forgotten,
            "outcomes": _counts(self.outcomes),
            "domains": {domain: _counts(counts) for domain, counts in bulk.outcomes.items()},
            "rate": self.rate,
            "rate_overall": speed.overall(bulk),
            "ends_at": self.ends_at,
            "filled_at": bulk.filled_at,
            "began_at": bulk.began_at,
            "ended_at": bulk.ended_at,
            "errors": [{"at": error.at, "domain": error.domain, **error.outcome.to_json()} for error in bulk.errors],
            "now": bulk.now,
        }


def _counts(counts: Mapping[OutcomeClass, int]) -> dict[str, int]:
    return {kind.value: counts.get(kind, 0) for kind in OutcomeClass}


def _per_second(rate: float) -> str:
    return f"{rate:,.0f}/s" if rate >= 100 else f"{rate:.1f}/s"
