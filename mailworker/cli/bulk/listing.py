"""`mailworker bulk list`: all bulks, the newest first, a line each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from mailworker.cli.project import app_and_settings

if TYPE_CHECKING:
    from mailworker.cli.bulk.shown import Shown


@click.command("list", short_help="List the bulks and how far they are.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(as_json: bool) -> None:
    """List the bulks, the one that was begun last first.

    A bulk is known for three months after its last mail is forgotten (MAILWORKER_RETENTION after it was
    settled).

    \b
    Examples:
      mailworker bulk list
      mailworker bulk list --json | jq '.[] | select(.phase == "paused") | .name'
    """
    app_and_settings()
    from mailworker.bulk.control import bulks
    from mailworker.cli.bulk.looking import shown

    found = [shown(bulk) for bulk in bulks()]
    if as_json:
        click.echo(json.dumps([one.to_json() for one in found], indent=2, ensure_ascii=False))
        return
    if not found:
        click.echo("no bulks", err=True)
        return
    width = max(len(one.bulk.plan.name) for one in found)
    count = max(len(_count(one)) for one in found)
    for one in found:
        standing = one.standing
        text = click.style(standing.text, fg="yellow") if standing.is_trouble else standing.text
        click.echo(f"{one.bulk.plan.name:<{width}}  {_count(one):>{count}}  {one.share:>6.1%}  {text}")


def _count(one: Shown) -> str:
    from mailworker.cli.bulk.speed import settled, to_send

    return f"{settled(one.bulk):,} of {to_send(one.bulk):,}"
