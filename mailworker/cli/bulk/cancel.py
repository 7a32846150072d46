"""`mailworker bulk cancel`: take back what has not gone of a bulk, for good."""

from __future__ import annotations

import sys

import click

from mailworker.cli.bulk.name import BulkName
from mailworker.cli.project import app_and_settings


@click.command("cancel", short_help="Take back what has not gone of a bulk.")
@click.argument("name", type=BulkName())
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(name: str, yes: bool, as_json: bool) -> None:
    """Take back every mail of a bulk that has not gone, whatever their number; asks first.

    What a worker has begun ends as it ends. A cancelled bulk takes no rows any more: another
    list takes another name.

    \b
    Example:
      mailworker bulk cancel news-12
    """
    app_and_settings()
    from mailworker.bulk.control import cancel, show
    from mailworker.cli.bulk.looking import tell

    found = show(name)
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("It takes back every mail that has not gone: add --yes where nobody can be asked.")
        click.confirm(f"Take back the {found.left:,} mails of bulk {name!r} that have not gone?", abort=True, err=True)
    tell(cancel(name), f"what had not gone of bulk {name!r} is taken back", as_json=as_json)
