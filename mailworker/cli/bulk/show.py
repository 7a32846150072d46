"""`mailworker bulk show`: one bulk, drawn anew each second on a terminal until it has ended, and once anywhere else."""

from __future__ import annotations

import sys
import time

import click

from mailworker.cli.bulk.name import BulkName
from mailworker.cli.project import app_and_settings
from mailworker.errors import BulkUnknown, MailworkerError

#: Seconds between two looks.
_PERIOD = 1.0


@click.command("show", short_help="Show how a bulk stands; live on a terminal.")
@click.argument("name", type=BulkName())
@click.option(
    "--watch/--once", "watch", default=None, help="Look again each second, or once.  [default: watch on a terminal]"
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, once.")
def command(name: str, watch: bool | None, as_json: bool) -> None:
    """Show how far a bulk is, how fast it goes, and what holds it back.

    On a terminal it is drawn anew each second until the bulk has ended, or Ctrl-C, which ends the
    watching and not the bulk. What became of each mail is counted by class of outcome and by the
    recipients' domain. Exit status 1 if there is no bulk of that name.

    \b
    Examples:
      mailworker bulk show news-12
      mailworker bulk show news-12 --once
      mailworker bulk show news-12 --json | jq .outcomes
    """
    if watch and as_json:
        raise click.UsageError("--watch is for people, --json for programs: keep one.")
    if watch and not sys.stdout.isatty():
        raise click.UsageError("--watch needs a terminal: without it the bulk is shown once.")
    app_and_settings()
    from mailworker.cli.bulk.looking import echo, look

    if as_json or watch is False or not sys.stdout.isatty() or not _has_rich():
        echo(look(name), as_json=as_json)
    else:
        _watch(name)


def _has_rich() -> bool:
    from importlib.util import find_spec

    return find_spec("rich") is not None


def _watch(name: str) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from mailworker.cli.bulk.looking import look
    from mailworker.cli.bulk.picture import picture
    from mailworker.cli.bulk.speed import Speed
    from mailworker.cli.bulk.standing import Phase
    from mailworker.cli.failure import sentence

    console, speed = Console(highlight=False), Speed()
    now = look(name, speed)
    try:
        with Live(picture(now, console.height), console=console, auto_refresh=False) as live:
            while now.standing.phase not in (Phase.FINISHED, Phase.CANCELLED):
                time.sleep(_PERIOD)
                try:
                    now = look(name, speed)
                except BulkUnknown:
                    raise
                except MailworkerError as error:
                    # It may come back, and somebody is waiting for that.
                    live.update(Text(sentence(error), style="yellow"), refresh=True)
                else:
                    live.update(picture(now, console.height), refresh=True)
    except KeyboardInterrupt:
        click.echo()
