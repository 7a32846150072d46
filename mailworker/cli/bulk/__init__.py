"""`mailworker bulk`: a message to each row of a list, from the start to the report."""

from __future__ import annotations

import click

from mailworker.cli.commands import Commands, InOrder

#: Command -> where it is, in the order in which people meet them.
_COMMANDS = {
    "start": "mailworker.cli.bulk.start",
    "list": "mailworker.cli.bulk.listing",
    "show": "mailworker.cli.bulk.show",
    "pause": "mailworker.cli.bulk.gate:pause_command",
    "resume": "mailworker.cli.bulk.gate:resume_command",
    "set": "mailworker.cli.bulk.setting",
    "cancel": "mailworker.cli.bulk.cancel",
    "retry-failed": "mailworker.cli.bulk.retry_failed",
    "report": "mailworker.cli.bulk.report",
}


@click.group(
    "bulk", cls=InOrder, commands=Commands(_COMMANDS), short_help="Send a message to each row of a list, and watch it."
)
def command() -> None:
    """Bulk sends: a template, a list of rows, and a plan.

    \b
    Examples:
      mailworker bulk start news-12 news/march customers.csv --dry-run
      mailworker bulk start news-12 news/march customers.csv \\
          --at 'tuesday 9:00 Europe/Berlin' --rate 200/s
      mailworker bulk show news-12
      mailworker bulk report news-12 --failed -o failed.csv
    """
