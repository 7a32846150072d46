"""`mailworker pause` and `mailworker resume`: stop and start a mailer, or a group, across all workers.

A mailer that queues is not what delivers: its name stands for the one that does. A mail on the wire goes on to its end.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from mailworker.cli.project import app_and_settings

if TYPE_CHECKING:
    from mailworker.settings import Settings


@click.command("pause", short_help="Stop a mailer, or a group, in all workers.")
@click.argument("mailer", metavar="[MAILER]", required=False)
@click.option("--group", metavar="NAME", help="The mails of a group instead; it may have none yet.")
@click.option("--reason", default="", metavar="TEXT", help="What others shall read beside it in `mailworker queue`.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def pause_command(mailer: str | None, group: str | None, reason: str, as_json: bool) -> None:
    """Let no more mails of a mailer or a group go, in no worker.

    What is being sent is sent; the rest waits, and no attempt is charged for it.

    \b
    Examples:
      mailworker pause relay --reason 'the provider is down until noon'
      mailworker pause --group newsletter-12
    """
    _check(mailer, group)
    if group and reason:
        raise click.UsageError("--reason goes with a mailer: a group keeps none.")
    if not reason.isprintable():
        raise click.UsageError("--reason has a character that cannot be printed: write one line of text.")
    _, conf = app_and_settings()
    from mailworker.queue import client

    if group:
        client.pause_group(group)
        _tell({"group": group, "paused": True}, f"group {group!r} is paused", as_json=as_json)
        return
    alias = _delivering(conf, mailer or "")
    client.pause(alias, reason)
    _tell({"mailer": alias, "paused": True, "reason": reason}, f"mailer {alias} is paused", as_json=as_json)


@click.command("resume", short_help="Start a paused mailer, or group, again.")
@click.argument("mailer", metavar="[MAILER]", required=False)
@click.option("--group", metavar="NAME", help="The mails of a group instead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def resume_command(mailer: str | None, group: str | None, as_json: bool) -> None:
    """Let the mails of a mailer or a group go on, whoever paused it: a person, or a trouble with the relay.

    What a cancelled group has lost stays cancelled; new mails get into it again.

    \b
    Examples:
      mailworker resume relay
      mailworker resume --group newsletter-12
    """
    _check(mailer, group)
    _, conf = app_and_settings()
    from mailworker.queue import client

    if group:
        client.resume_group(group)
        _tell({"group": group, "paused": False}, f"group {group!r} goes on", as_json=as_json)
        return
    alias = _delivering(conf, mailer or "")
    client.resume(alias)
    _tell({"mailer": alias, "paused": False}, f"mailer {alias} goes on", as_json=as_json)


def _check(mailer: str | None, group: str | None) -> None:
    if bool(mailer) == bool(group):
        raise click.UsageError("Name a mailer, or a group with --group: one of the two.")


def _delivering(conf: Settings, alias: str) -> str:
    """Return the mailer that mails are delivered with which are sent by this one."""
    if alias not in conf.mailers:
        known = ", ".join(sorted(conf.mailers))
        raise click.UsageError(
            f"{alias!r} is no mailer: known are {known}. If workers have others, set MAILERS or MAILWORKER_CELERY_APP here too."
        )
    return conf.delivery_mailer(alias).alias


def _tell(shown: dict[str, object], text: str, *, as_json: bool) -> None:
    click.echo(json.dumps(shown, ensure_ascii=False) if as_json else text)
