"""From what a caller asks to the plan that the spool keeps; decides nothing by itself, and refuses what cannot be meant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from mailworker.bulk.rate import burst_of, parse_rate
from mailworker.bulk.schedule import parse_schedule
from mailworker.errors import BulkRefused
from mailworker.lane import Lane
from mailworker.mail.bulk_note import BulkNote
from mailworker.mail.options import MAX_NAME, QueueOptions
from mailworker.spool.bulk import Bulk, BulkGate, Plan, Timetable

#: Mails that are settled last, of which a share may be rejected before a bulk pauses by itself.
BOUNCE_WINDOW = 500

#: Seconds that a moment may be over already: a script asks the clock first.
_PAST = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a caller asks of a bulk, but for what its mails say; see `mailworker.bulk.send`.

    Raises:
        TypeError, ValueError: a value cannot be meant.
    """

    name: str
    at: datetime | None = None
    delay: timedelta | float | None = None
    rate: float | str | None = None
    between: str | None = None
    lane: Lane | str = Lane.BULK
    expires: datetime | timedelta | float | None = None
    on_in_doubt: Literal["resend", "hold"] | None = None
    wait: bool = True
    max_bounces: float | None = 0.1

    def __post_init__(self) -> None:
        check_name(self.name)
        share: Any = self.max_bounces
        if share is not None and (isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1):
            raise ValueError(
                f"max_bounces is {share!r}: expected a share of the last {BOUNCE_WINDOW} mails from 0 to 1, such as 0.1, or "
                "None to let nothing pause the bulk"
            )
        # They are looked over when they are made.
        self.options()
        timetable(self.rate, self.between, 0.0)

    def options(self) -> QueueOptions:
        """Return when and how its mails travel."""
        return QueueOptions(
            at=self.at,
            delay=self.delay,
            expires=self.expires,
            lane=self.lane,
            group=self.name,
            on_in_doubt=self.on_in_doubt,
        )

    def plan(self, now: float, **of_letter: Any) -> Plan:
        """Return the plan.

        Args:
            now: seconds since the epoch, by the spool's clock.
            of_letter: `letter`, `letter_digest`, `mailer` and `note`.
        """
        options = self.options()
        due_at = options.due_at(now)
        return Plan(
            name=self.name,
            lane=Lane(self.lane),
            created_at=now,
            due_at=due_at,
            expires_at=options.expires_at(now),
            on_in_doubt=self.on_in_doubt or "resend",
            timetable=timetable(self.rate, self.between, due_at),
            max_bounces=None if self.max_bounces is None else round(self.max_bounces * BOUNCE_WINDOW),
            bounce_window=BOUNCE_WINDOW,
            opens_at_once=not self.wait,
            **of_letter,
        )

    def check_moment(self, now: float) -> None:
        """Make sure that a bulk that begins now was not meant to begin long ago.

        Raises:
            BulkRefused: it was.
        """
        if self.at is not None and self.at.timestamp() < now - _PAST:
            raise BulkRefused(
                f"the bulk {self.name!r} shall begin at {self.at.isoformat(sep=' ', timespec='minutes')}, which is over: "
                "name a time to come, or none to begin at once"
            )


def check_name(name: object) -> None:
    """Make sure that something may be a bulk's name.

    Raises:
        TypeError: it is no text.
        ValueError: it is empty, too long, or has a character that cannot be printed.
    """
    if not isinstance(name, str):
        raise TypeError(f"the name of a bulk is {name!r}: expected text, such as 'newsletter-12'")
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        shown = repr(name) if len(name) <= MAX_NAME else f"{len(name)} characters long"
        raise ValueError(
            f"the name of a bulk is {shown}: expected 1 to {MAX_NAME} characters, all printable, such as 'newsletter-12'"
        )


def timetable(rate: float | str | None, between: str | None, now: float) -> Timetable:
    """Return how fast mails go, and when.

    Args:
        rate: see `parse_rate`; None = no limit.
        between: see `parse_schedule`; None = at any time.
        now: seconds since the epoch; nothing before it is told.

    Raises:
        ValueError: one of them is none.
    """
    a_second = None if rate is None else parse_rate(rate)
    schedule = None if between is None else parse_schedule(between)
    return Timetable(rate=a_second, burst=burst_of(a_second), windows=() if schedule is None else schedule.windows(now))


def check_fits(known: Bulk, plan: Plan) -> None:
    """Make sure that a bulk that is known may be filled further by this plan.

    Args:
        known: as it stands.
        plan: what is asked now.

    Raises:
        BulkRefused: it may not; the text says how to mend it.
    """
    name = plan.name
    if known.gate is BulkGate.CANCELLED:
        raise BulkRefused(f"the bulk {name!r} is cancelled, and takes no rows any more: give this one another name")
    if known.forgotten:
        raise BulkRefused(
            f"of the bulk {name!r}, {known.forgotten} mails are past their retention (MAILWORKER_RETENTION), and who had them is "
            "forgotten, so that they would be sent again: give this one another name"
        )
    # The lane first: in another one the mails have other headers, too.
    for what, was, asked in (
        ("mailer", known.plan.mailer, plan.mailer),
        ("lane", known.plan.lane.value, plan.lane.value),
    ):
        if was != asked:
            raise BulkRefused(
                f"the bulk {name!r} is known, and goes by the {what} {was!r}, not {asked!r}: give this one another name, or "
                f"start it with {was!r}"
            )
    if known.plan.letter_digest != plan.letter_digest:
        raise BulkRefused(
            f"the bulk {name!r} is known, and its mails say something else (template, sender, headers, language or the "
            f"recipient's column have changed since it was started): give this one another name, or start it as it was; "
            f"`mailworker bulk cancel` takes back what has not gone of the other"
        )
    if BulkNote.decode(known.plan.note).ids != BulkNote.decode(plan.note).ids:
        raise BulkRefused(
            f"the bulk {name!r} was started with other MAILWORKER_ENCRYPTION_KEYS: who has its mails is known by the last of them "
            "(by a plain digest if there was none), and would not be known again and get a second one; start it with the same "
            "last key, or give this one another name"
        )
