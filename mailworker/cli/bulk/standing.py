"""What a bulk does now, what holds it back, and what a person can do about it, in words. Pure."""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass
from enum import StrEnum

import click

from mailworker.cli.bulk.speed import goes_at, settled, to_send
from mailworker.cli.counted import counted
from mailworker.cli.moment import length, moment
from mailworker.cli.queue import gate_shown
from mailworker.spool.base import MailerState
from mailworker.spool.bulk import Bulk, BulkGate
from mailworker.spool.record import State

#: Seconds without a new row after which a list that has not come in as a whole is taken for given up.
_FILLS = 60.0

#: Seconds after which mail that could go and does not makes one ask for a worker.
_IDLE = 15.0


class Phase(StrEnum):
    """What a bulk does; the names are those of `--json`."""

    FILLING = "filling"  #: its list comes in, or has ended before its last row
    WAITING = "waiting"  #: for its time, or its hours
    SENDING = "sending"
    PAUSED = "paused"
    FINISHED = "finished"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a bulk stands, for people.

    Attributes:
        phase: what it does.
        text: the same in words, and what holds it back.
        advice: what to do; "" where nothing has to be done.
        is_trouble: a person should look at it.
    """

    phase: Phase
    text: str
    advice: str = ""
    is_trouble: bool = False


def standing(bulk: Bulk, mailer: MailerState | None = None) -> Standing:
    """Return how a bulk stands.

    Args:
        bulk: it.
        mailer: the gate of its mailer, None = not known.
    """
    name, left = shlex.quote(bulk.plan.name), bulk.left
    match bulk.gate:
        case BulkGate.CANCELLED:
            back = bulk.states.get(State.CANCELLED, 0)
            return Standing(Phase.CANCELLED, f"cancelled: {counted(back, 'mail')} taken back")
        case BulkGate.PAUSED:
            who = "paused by itself" if bulk.has_stopped_itself else "paused"
            if not left and bulk.filled_at is not None:
                who = f"{_finished(bulk).text}, and {who}"
            look = (
                f"`mailworker bulk report {name} --failed` tells whom it failed with; "
                if bulk.has_stopped_itself
                else ""
            )
            advice = f"{look}`mailworker bulk resume {name}` lets it go on"
            return Standing(Phase.PAUSED, f"{who}{f': {bulk.reason}' if bulk.reason else ''}", advice, is_trouble=True)
        case BulkGate.FILLING:
            return _filling(bulk, name)
        case BulkGate.OPEN if not left and bulk.filled_at is not None:
            return _finished(bulk)
        case BulkGate.OPEN:
            return _open(bulk, name, mailer)


def _filling(bulk: Bulk, name: str) -> Standing:
    last = max(bulk.last_row_at or 0.0, bulk.plan.created_at)
    if bulk.now - last < _FILLS:
        return Standing(Phase.FILLING, "its list comes in; the gate opens after the last row")
    return Standing(
        Phase.FILLING,
        f"its list has ended before its last row, {length(bulk.now - last)} ago; nothing goes",
        f"start it again as it was, and it goes on from there; or `mailworker bulk cancel {name}`",
        is_trouble=True,
    )


def _finished(bulk: Bulk) -> Standing:
    if not bulk.rows:
        return Standing(
            Phase.FINISHED, "finished: no row has come in; a list that can be sent may be started by this name"
        )
    when = f" {moment(bulk.ended_at, bulk.now)}" if bulk.ended_at is not None else ""
    return Standing(Phase.FINISHED, f"finished{when}")


def _open(bulk: Bulk, name: str, mailer: MailerState | None) -> Standing:
    held = bulk.states.get(State.HELD, 0)
    if held and held == bulk.left:
        advice = f"`mailworker dead list` shows them; `mailworker bulk retry-failed {name}` tries them again"
        return Standing(
            Phase.FINISHED, f"finished, but for {counted(held, 'mail')} held in doubt", advice, is_trouble=True
        )
    return _waiting(bulk, name) or _sending(bulk, mailer)


def _waiting(bulk: Bulk, name: str) -> Standing | None:
    """Return for which time it waits; None if its time has come."""
    now, goes = bulk.now, goes_at(bulk)
    if goes == math.inf:
        advice = f"`mailworker bulk set {name} --between ...` gives it other hours"
        return Standing(Phase.WAITING, "the last of its hours are over", advice, is_trouble=True)
    if goes > now:
        what = "its hours" if goes > bulk.plan.due_at else "its time"
        return Standing(Phase.WAITING, f"waits for {what}: {moment(goes, now)}")
    return None


def _sending(bulk: Bulk, mailer: MailerState | None) -> Standing:
    if mailer is not None and (mailer.paused_by_person or mailer.paused_until is not None):
        advice = (
            f"`mailworker resume {shlex.quote(bulk.plan.mailer)}` starts it again" if mailer.paused_by_person else ""
        )
        text = f"waits for its mailer, which is {click.unstyle(gate_shown(mailer, bulk.now))}"
        return Standing(Phase.SENDING, text, advice, is_trouble=mailer.paused_by_person)
    is_idle = not settled(bulk) and not bulk.states.get(State.LEASED) and to_send(bulk)
    since = max(bulk.plan.due_at, bulk.filled_at or bulk.plan.created_at)
    if is_idle and bulk.now - since > _IDLE:
        advice = "is a worker running (`mailworker health`)?"
        return Standing(Phase.SENDING, "open, and none has gone yet", advice, is_trouble=True)
    return Standing(Phase.SENDING, "sending")
