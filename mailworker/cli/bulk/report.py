"""`mailworker bulk report`: what became of each recipient, as CSV or JSON Lines."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import click

from mailworker.cli.bulk.name import BulkName
from mailworker.cli.counted import counted
from mailworker.cli.project import app_and_settings

_SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv"}


@click.command("report", short_help="Write what became of each recipient.")
@click.argument("name", type=BulkName())
@click.option(
    "--format", "form", type=click.Choice(["csv", "jsonl"]), help="Of the report.  [default: by FILE, else csv]"
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format jsonl.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write into a file."
)
@click.option("--failed", is_flag=True, help="Only those who had nothing: dead, held, expired, dropped, cancelled.")
def command(name: str, form: str | None, as_json: bool, output: Path | None, failed: bool) -> None:
    """Write a line for each recipient of a bulk: state, outcome, code and text of the relay's last reply.

    In the order of the list. Mails are forgotten MAILWORKER_RETENTION after they were settled, and are
    not in it then.

    \b
    Examples:
      mailworker bulk report news-12 -o news-12.csv
      mailworker bulk report news-12 --failed --json | jq -r .recipient
    """
    if as_json and form == "csv":
        raise click.UsageError("--json and --format csv say two things: keep one.")
    by_file = _SUFFIXES.get(output.suffix.lower()) if output is not None else None
    chosen = "jsonl" if as_json else form or by_file or "csv"
    app_and_settings()
    from mailworker.bulk.control import show
    from mailworker.bulk.reporting import report, write_csv, write_jsonl

    forgotten = show(name).forgotten
    write = write_csv if chosen == "csv" else write_jsonl
    with ExitStack() as stack:
        file = sys.stdout
        if output is not None:
            file = stack.enter_context(output.open("w", encoding="utf-8", newline=""))
        number = write(report(name, failed=failed), file)
    if output is not None:
        click.echo(f"{counted(number, 'recipient')} in {output}", err=True)
    if forgotten:
        click.echo(
            f"{counted(forgotten, 'mail')} of it forgotten (MAILWORKER_RETENTION), and not in the report", err=True
        )
