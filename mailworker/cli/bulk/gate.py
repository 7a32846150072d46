"""`mailworker bulk pause` and `mailworker bulk resume`: close and open a bulk's gate, across all workers."""

from __future__ import annotations

import click

from mailworker.cli.bulk.name import BulkName
from mailworker.cli.project import app_and_settings


@click.command("pause", short_help="Let no more mails of a bulk go.")
@click.argument("name", type=BulkName())
@click.option(
    "--reason", default="", metavar="TEXT", help="What others shall read beside it in `mailworker bulk show`."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def pause_command(name: str, reason: str, as_json: bool) -> None:
    """Let no more mails of a bulk go, in no worker.

    What is being sent is sent; the rest waits, and no attempt is charged for it.

    \b
    Example:
      mailworker bulk pause news-12 --reason 'the price is wrong'
    """
    if not reason.isprintable() and reason:
        raise click.UsageError("--reason has a character that cannot be printed: write one line of text.")
    app_and_settings()
    from mailworker.bulk.control import pause
    from mailworker.cli.bulk.looking import tell

    tell(pause(name, reason), f"bulk {name!r} is paused", as_json=as_json)


@click.command("resume", short_help="Let a paused bulk go on.")
@click.argument("name", type=BulkName())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def resume_command(name: str, as_json: bool) -> None:
    """Let the mails of a bulk go on, whether a person has paused it or it has paused itself.

    \b
    Example:
      mailworker bulk resume news-12
    """
    app_and_settings()
    from mailworker.bulk.control import resume
    from mailworker.cli.bulk.looking import tell

    tell(resume(name), f"bulk {name!r} goes on", as_json=as_json)
