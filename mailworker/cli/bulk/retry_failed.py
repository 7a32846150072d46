"""`mailworker bulk retry-failed`: try again what was given up or is held of a bulk."""

from __future__ import annotations

import json

import click

from mailworker.cli.bulk.name import BulkName
from mailworker.cli.counted import counted
from mailworker.cli.project import app_and_settings


@click.command("retry-failed", short_help="Try again what failed of a bulk.")
@click.argument("name", type=BulkName())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str, as_json: bool) -> None:
    """Make the dead and held mails of a bulk due again, with fresh attempts.

    Who was accepted gets no second copy. A bulk that is paused stays so until `mailworker bulk resume`.

    \b
    Examples:
      mailworker bulk report news-12 --failed
      mailworker bulk retry-failed news-12
    """
    app_and_settings()
    from mailworker.bulk.control import retry_failed, show
    from mailworker.cli.bulk.looking import shown

    number = retry_failed(name)
    if as_json:
        click.echo(json.dumps({"name": name, "retried": number}, ensure_ascii=False))
        return
    standing = shown(show(name)).standing
    click.echo(f"{counted(number, 'mail')} of bulk {name!r} to try again; now {standing.text}")
