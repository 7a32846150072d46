"""`mailworker cancel`: take back mails that have not gone yet, one by one or a whole group.

What was done, or why not, is said for each. The exit status is 1 if one was not taken back: it had gone, is in a worker's hands,
or is not known.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from mailworker.cli.mail_id import MailId
from mailworker.cli.project import app_and_settings
from mailworker.cli.status import counted, in_order

if TYPE_CHECKING:
    from mailworker.spool.record import MailStatus


@click.command("cancel", short_help="Take back mails that have not gone yet.")
@click.argument("mail_ids", metavar="[ID]...", nargs=-1, type=MailId())
@click.option("--group", metavar="NAME", help="All of a group that have not gone; asks first.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list where several ids are named.")
@click.pass_context
def command(ctx: click.Context, mail_ids: tuple[str, ...], group: str | None, yes: bool, as_json: bool) -> None:
    """Take back mails that are due or held. Exit status 1 if one was not taken back.

    A cancelled group stays shut: what is queued under its name later is cancelled at once, until
    `mailworker resume --group NAME`.

    \b
    Examples:
      mailworker cancel 5f0c9a41d0a94c0c8bb5dd6c1c2b0e5e
      mailworker cancel --group newsletter-12 --yes
    """
    if bool(mail_ids) == bool(group):
        raise click.UsageError("Name ids, or a group with --group: one of the two.")
    app_and_settings()
    if group:
        _cancel_group(group, yes=yes, as_json=as_json)
        return
    answers = [_cancel(mail_id) for mail_id in dict.fromkeys(mail_ids)]
    if as_json:
        click.echo(json.dumps(answers if len(answers) > 1 else answers[0], indent=2))
    else:
        for answer in answers:
            click.echo(f"{answer['id']}: {answer['text']}", err=not answer["cancelled"])
    ctx.exit(0 if all(answer["cancelled"] for answer in answers) else 1)


def _cancel(mail_id: str) -> Mapping[str, object]:
    from mailworker.queue import client
    from mailworker.spool.record import State

    if client.cancel(mail_id):
        return {"id": mail_id, "cancelled": True, "state": State.CANCELLED.value, "text": "cancelled"}
    status = client.status(mail_id)
    return {
        "id": mail_id,
        "cancelled": status is not None and status.state is State.CANCELLED,
        "state": None if status is None else status.state.value,
        "text": _why_not(status),
    }


def _why_not(status: MailStatus | None) -> str:
    from mailworker.spool.record import State

    if status is None:
        return "not known: it never was, was purged, or its retention is over"
    match status.state:
        case State.CANCELLED:
            return "was cancelled before"
        case State.LEASED:
            return "not cancelled: it is in a worker's hands; try again if it comes back from there"
        case State.DEAD:
            return "not cancelled: it was given up already; `mailworker dead purge` throws it away"
        case State.DUE | State.HELD:
            return f"not cancelled: it was in a worker's hands a moment ago and is {status.state.value} now; try again"
        case state:
            return f"not cancelled: it was {state.value} already"


def _cancel_group(group: str, *, yes: bool, as_json: bool) -> None:
    from mailworker.queue import client
    from mailworker.spool.record import State

    before = client.status_of_group(group)
    if not before:
        raise click.ClickException(
            f"no mail of a group {group!r} is known: none was queued, or their retention is over"
        )
    waiting = before.get(State.DUE, 0) + before.get(State.HELD, 0)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("--group takes back every mail of it: add --yes where nobody can be asked.")
        click.confirm(f"Take back the {waiting} mails of group {group!r} that have not gone?", abort=True, err=True)
    client.cancel_group(group)
    after = client.status_of_group(group)
    if as_json:
        shown = {"group": group, "states": {state.value: number for state, number in in_order(after)}}
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    click.echo(f"cancelled: what had not gone of group {group!r}; now {counted(in_order(after))}")
    if after.get(State.LEASED):
        click.echo("what is in a worker's hands is taken back there, unless it has begun with it", err=True)
