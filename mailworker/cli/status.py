"""`mailworker status`: what became of mails, or of a group of them.

It asks the spool and lays out the answer; what the words mean is decided where the states are. An id that is not known is exit
status 1: it never was, or its retention is over.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import click

from mailworker.cli.mail_id import MailId
from mailworker.cli.moment import moment
from mailworker.cli.project import app_and_settings
from mailworker.cli.queue import gate_shown

if TYPE_CHECKING:
    from celery import Celery

    from mailworker.outcome import Outcome
    from mailworker.settings import Settings
    from mailworker.spool.base import MailerState
    from mailworker.spool.record import MailStatus, State

#: Columns of a mail's lines in front of their values.
_LABEL = 14


@click.command("status", short_help="Show what became of mails, recipient by recipient.")
@click.argument("mail_ids", metavar="[ID]...", nargs=-1, type=MailId())
@click.option("--group", metavar="NAME", help="Count the mails of a group by state instead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list where several ids are named.")
@click.pass_context
def command(ctx: click.Context, mail_ids: tuple[str, ...], group: str | None, as_json: bool) -> None:
    """Show what became of mails: state, attempts, next attempt, and the relay's word for each recipient.

    "Accepted" is what the relay said. Finished mails are known for MAILWORKER_RETENTION. Exit status 1
    if one is not known.

    \b
    Examples:
      mailworker status 5f0c9a41d0a94c0c8bb5dd6c1c2b0e5e
      mailworker status --group newsletter-12 --json
    """
    if bool(mail_ids) == bool(group):
        raise click.UsageError("Name ids, or a group with --group: one of the two.")
    app, conf = app_and_settings()
    from mailworker.queue import client

    if group:
        _tell_of_group(group, client.status_of_group(group), as_json=as_json)
        return
    asked = dict.fromkeys(mail_ids)
    found = [status for mail_id in asked if (status := client.status(mail_id)) is not None]
    if as_json:
        shown = [status.to_json() for status in found]
        if len(asked) > 1 or shown:
            click.echo(json.dumps(shown if len(asked) > 1 else shown[0], indent=2, ensure_ascii=False))
    else:
        due = [status for status in found if status.state.value == "due"]
        gates = _gates(app, conf, {status.mailer for status in due})
        groups = _group_gates(app, conf, {status.group for status in due if status.group})
        for place, status in enumerate(found):
            gate, of_group = gates.get(status.mailer), groups.get(status.group or "", "open")
            sessions = _sessions(conf, status.mailer)
            click.echo("\n" * bool(place) + "\n".join(lines(status, time.time(), gate, of_group, sessions)))
    unknown = asked.keys() - {status.id for status in found}
    for mail_id in asked:
        if mail_id in unknown:
            click.echo(f"{mail_id}: not known: it never was, was purged, or its retention is over", err=True)
    ctx.exit(1 if unknown else 0)


def _gates(app: Celery, conf: Settings, mailers: Iterable[str]) -> dict[str, MailerState]:
    """Return the gates of mailers; none in eager mode, where nobody waits behind one."""
    from mailworker.queue import client, spools

    spool = None if client.is_eager() else spools.for_producers(app, conf)
    return {} if spool is None else {mailer: spool.mailer_state(mailer) for mailer in mailers}


def _sessions(conf: Settings, mailer: str) -> int | None:
    """Return how many sessions a mailer allows; None = no limit, or it is not in the settings here."""
    return conf.mailers[mailer].limits.sessions if mailer in conf.mailers else None


def _group_gates(app: Celery, conf: Settings, groups: Iterable[str]) -> dict[str, str]:
    from mailworker.queue import client, spools

    spool = None if client.is_eager() else spools.for_producers(app, conf)
    return {} if spool is None else {group: spool.group_gate(group) for group in groups}


def lines(
    status: MailStatus,
    now: float,
    gate: MailerState | None = None,
    of_group: str = "open",
    sessions: int | None = None,
) -> Iterator[str]:
    """Yield the lines that show a mail to a person.

    Args:
        status: what became of it.
        now: seconds since the epoch.
        gate: its mailer's.
        of_group: the gate of its group.
        sessions: how many its mailer allows; None = no limit.
    """
    behind = [f"its group is {of_group}"] if of_group != "open" and status.next_attempt_at is not None else []
    held_up = "open"
    if gate is not None and status.next_attempt_at is not None:
        held_up = gate_shown(gate, now, sessions if gate.sessions >= (sessions or 1) else None)
    yield f"{status.id}: {status.state.value}"
    values = {
        "reason": status.reason,
        "next attempt": moment(status.next_attempt_at, now) if status.next_attempt_at is not None else "",
        "held up": "; ".join(behind + ([f"its mailer is {held_up}"] if held_up != "open" else [])),
        "attempts": str(status.attempts),
        "in doubt": "a second copy may exist" if status.in_doubt else "",
        "mailer": status.mailer,
        "lane": status.lane.value,
        "group": status.group or "",
        "queued": moment(status.created_at, now),
        "expires": moment(status.expires_at, now) if status.expires_at is not None else "",
    }
    for label, value in values.items():
        if value:
            yield f"  {label:<{_LABEL}}{value}"
    yield from table(status.outcomes)


def table(outcomes: Mapping[str, Outcome]) -> Iterator[str]:
    """Yield a line for each recipient: class, code and text of its last outcome."""
    rows = [
        (
            recipient,
            outcome.kind.value,
            " ".join(part for part in (str(outcome.reply.code), outcome.reply.enhanced) if part)
            if outcome.reply
            else "-",
            outcome.reply.text if outcome.reply else outcome.text,
        )
        for recipient, outcome in outcomes.items()
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    for row in rows:
        yield (
            "  " + "  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[3]]).rstrip()
        )


def counted(counts: Iterable[tuple[State, int]]) -> str:
    """Return counts by state in words: "3 due, 1 sent"."""
    return ", ".join(f"{number} {state.value}" for state, number in counts)


def _tell_of_group(group: str, counts: Mapping[State, int], *, as_json: bool) -> None:
    if not counts:
        raise click.ClickException(
            f"no mail of a group {group!r} is known: none was queued, or their retention is over"
        )
    ordered = in_order(counts)
    if as_json:
        shown = {"group": group, "states": {state.value: number for state, number in ordered}}
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    width = len(str(max(counts.values())))
    for state, number in ordered:
        click.echo(f"{state.value:<10}{number:>{width}}", file=sys.stdout)


def in_order(counts: Mapping[State, int]) -> list[tuple[State, int]]:
    """Return counts in the order of a mail's life."""
    from mailworker.spool.record import State

    return [(state, counts[state]) for state in State if state in counts]
