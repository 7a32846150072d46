"""`mailworker bulk start`: read a list, check it, queue it; or only look at what would come of it.

Mistakes in what was typed are wrong usage (2); a list that is broken, a bulk that is known as another one, or a queue that does not
answer, a failure (1).
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mailworker.cli.bulk.name import BulkName
from mailworker.cli.counted import counted
from mailworker.cli.handover import check_handover
from mailworker.cli.header import read_headers
from mailworker.cli.project import find_project
from mailworker.cli.when import Duration, DurationOrMoment, Moment
from mailworker.lane import LANES

if TYPE_CHECKING:
    from mailworker.bulk.filled import BadLine
    from mailworker.bulk.mailing import Mailing
    from mailworker.spool.bulk import Bulk

_ROWS = click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True)

#: Bad rows that are shown.
_SHOWN = 10


class Share(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on only
    """A share: 0.1, 10%, or off."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | None:
        """Read one; None is off."""
        text = str(value).strip().lower()
        if text in ("off", "none"):
            return None
        try:
            found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            found = -1.0
        if not 0 <= found <= 1:
            self.fail(f"{value!r} is no share: write 10%, 0.1, or off.", param, ctx)
        return found


@click.command("start", short_help="Send a message to each row of a list.")
@click.argument("name", type=BulkName())
@click.argument("template", metavar="TEMPLATE")
@click.argument("rows", metavar="ROWS", type=_ROWS)
@click.option(
    "--at", type=Moment(), metavar="MOMENT", help="Not before: 2026-12-01T09:00, 'tuesday 9:00 Europe/Berlin', +2h."
)
@click.option("--delay", type=Duration(), metavar="TIME", help="Not before this long from now: 90, 10m, 1h30m, 2d.")
@click.option("--rate", metavar="RATE", help="At most so many mails: 200/s, 5000/min, 100000/h.")
@click.option("--between", metavar="HOURS", help="Only in these hours: 'mon-fri 08:00-20:00 Europe/Berlin'.")
@click.option("--expires", type=DurationOrMoment(), metavar="WHEN", help="Not after: as --delay, or as --at.")
@click.option(
    "--lane",
    type=click.Choice([lane.value for lane in LANES]),
    default="bulk",
    show_default=True,
    help="How urgent it is.",
)
@click.option("--using", metavar="MAILER", help="Mailer of MAILERS.")
@click.option("--to", default="email", show_default=True, metavar="COLUMN", help="Column with the recipient.")
@click.option(
    "--from",
    "sender",
    metavar="ADDRESS",
    help="Sender; may hold columns, as '{{ agent }}'.  [default: DEFAULT_FROM_EMAIL]",
)
@click.option("--reply-to", multiple=True, metavar="ADDRESS", help="Where answers go; may hold columns. Repeatable.")
@click.option("--header", multiple=True, metavar="NAME=VALUE", help="A further header; may hold columns. Repeatable.")
@click.option("--language", metavar="TAG", help="Of the templates: de, de-at.")
@click.option("--suppress", metavar="LIST", help="Who gets none: a file of addresses and domains, or module:function.")
@click.option(
    "--on-in-doubt", type=click.Choice(["resend", "hold"]), help="When a second copy might be made.  [default: resend]"
)
@click.option(
    "--max-bounces",
    type=Share(),
    default="10%",
    show_default=True,
    metavar="SHARE",
    help="More rejected ones than this of the last 500 pause it; off = never.",
)
@click.option("--strict", is_flag=True, help="Stop at the first bad row, before anything goes.")
@click.option("--no-wait", is_flag=True, help="Let mails go while the list is still read.")
@click.option(
    "--encoding", default="utf-8", show_default=True, metavar="NAME", help="Of a list without a byte order mark."
)
@click.option("--delimiter", metavar="CHAR", help="Of CSV: ',' ';' or tab.  [default: what the header has]")
@click.option(
    "--bad",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    metavar="FILE",
    help="Write all bad rows into a CSV file: line, reason.",
)
@click.option("--dry-run", is_flag=True, help="Read and check the whole list, show three messages, send nothing.")
@click.option("--test-to", metavar="ADDRESS", help="Send the first three messages to this address only.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    name: str,
    template: str,
    rows: str,
    sender: str | None,
    header: tuple[str, ...],
    max_bounces: float | None,
    no_wait: bool,
    delimiter: str | None,
    bad: Path | None,
    dry_run: bool,
    test_to: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Send the message of a TEMPLATE to each of the ROWS, as the bulk NAME.

    ROWS is a CSV file whose first line names the columns, or JSON Lines; also packed with gzip, or -
    for standard input. Each row is checked: address, variables of the templates, size. A bad row is
    told and left out. Nothing goes before the last row is queued. Who is listed twice gets one mail.

    The same command again goes on where it was stopped, or adds what is new in the list.

    \b
    Examples:
      mailworker bulk start news-12 news/march customers.csv --dry-run
      mailworker bulk start news-12 news/march list.csv --test-to me@example.com
      mailworker bulk start news-12 news/march customers.csv \\
          --at 'tuesday 9:00 Europe/Berlin' --rate 200/s \\
          --between 'mon-fri 08:00-20:00 Europe/Berlin'
    """
    if options["at"] is not None and options["delay"] is not None:
        raise click.UsageError("--at and --delay both say when: keep one.")
    if dry_run and test_to is not None:
        raise click.UsageError("--dry-run sends nothing, --test-to sends to one address: keep one.")
    if options["strict"] and no_wait:
        raise click.UsageError(
            "--strict and --no-wait contradict each other: mails would have gone before a bad row is met."
        )
    headers = read_headers(header)
    find_project()
    check_handover(options["using"])
    with _usage():
        what = _mailing(
            name,
            template,
            sys.stdin.buffer if rows == "-" else rows,
            from_email=sender,
            headers=headers,
            max_bounces=max_bounces,
            wait=not no_wait,
            delimiter="\t" if delimiter in ("tab", "\\t") else delimiter,
            **options,
        )
        if test_to is not None:
            _trial(what, test_to, as_json=as_json)
        elif dry_run:
            _dry_run(what, bad, as_json=as_json)
        else:
            _start(what, bad, as_json=as_json)


@contextmanager
def _usage() -> Iterator[None]:
    """Take what cannot be meant for wrong usage."""
    from mailworker.errors import BadHeaderError, InvalidAddress

    try:
        yield
    except (BadHeaderError, InvalidAddress) as error:
        raise click.UsageError(f"{error}.") from error
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        raise click.UsageError(f"{error}.") from error


def _mailing(*args: Any, **options: Any) -> Mailing:
    from mailworker.bulk.mailing import mailing

    return mailing(*args, **options)


def _trial(what: Mailing, address: str, *, as_json: bool) -> None:
    from mailworker.bulk.trial import send_trial

    ids = send_trial(what, address)
    if as_json:
        click.echo(json.dumps({"name": what.wish.name, "test_to": address, "ids": ids}, ensure_ascii=False))
    else:
        click.echo(f"{counted(len(ids), 'message')} queued for {address}, and for nobody else: {' '.join(ids)}")


def _dry_run(what: Mailing, bad: Path | None, *, as_json: bool) -> None:
    from mailworker.bulk.dry_run import dry_run
    from mailworker.cli.bulk.filling import bar
    from mailworker.cli.bulk.sample import sample

    with _bad_rows(bad) as on_bad, bar(as_json=as_json) as on_progress:
        found = dry_run(what, on_progress=on_progress, on_bad=on_bad)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        for number, message in enumerate(found.samples, 1):
            click.echo("\n".join(sample(message, number)) + "\n")
        click.echo(
            f"{counted(found.read, 'row')}: {counted(found.good, 'mail')} would go, {counted(found.duplicates, 'duplicate')}, "
            f"{found.suppressed:,} suppressed, {found.bad:,} bad; nothing was sent"
        )
        _tell_bad(found.bad_rows, found.bad, bad)
    _fail_if(found.bad and not found.good)


def _start(what: Mailing, bad: Path | None, *, as_json: bool) -> None:
    from mailworker.bulk.control import show
    from mailworker.bulk.sending import start
    from mailworker.cli.bulk.filling import bar
    from mailworker.cli.bulk.looking import shown

    name = what.wish.name
    try:
        with _bad_rows(bad) as on_bad, bar(as_json=as_json) as on_progress:
            filled = start(what, on_progress=on_progress, on_bad=on_bad, on_known=_tell_known)
    except KeyboardInterrupt:
        held = "nothing of it goes, since its gate is closed" if what.wish.wait else "what is in goes"
        raise click.ClickException(
            f"stopped before the last row of bulk {name!r}: {held}; start it again as it was, and it goes on from there, or "
            f"take it back with `mailworker bulk cancel`"
        ) from None
    now = shown(show(name))
    if as_json:
        click.echo(json.dumps({**filled.to_json(), "phase": now.standing.phase.value}, indent=2, ensure_ascii=False))
    else:
        speed = f", {filled.read / filled.seconds:,.0f}/s" if filled.seconds > 1 else ""
        known = f", {filled.known:,} known" if filled.known else ""
        click.echo(
            f"{counted(filled.read, 'row')}: {counted(filled.new, 'mail')} queued{known}, "
            f"{counted(filled.duplicates, 'duplicate')}, "
            f"{filled.suppressed:,} suppressed, {filled.bad:,} bad; {filled.seconds:.1f} s{speed}"
        )
        _tell_bad(filled.bad_rows, filled.bad, bad)
        click.echo(f"bulk {name!r}: {now.standing.text}")
    _fail_if(filled.bad and not (filled.new or filled.known or filled.suppressed))


def _tell_known(bulk: Bulk) -> None:
    click.echo(
        f"bulk {bulk.plan.name!r} is known with {counted(bulk.rows, 'mail')}: what is missing is added, by its plan of then "
        "(`mailworker bulk set` changes rate and hours)",
        err=True,
    )


def _tell_bad(rows: tuple[BadLine, ...], number: int, file: Path | None) -> None:
    for line, reason in rows[:_SHOWN]:
        click.echo(f"  line {line}: {reason}", err=True)
    if number > _SHOWN:
        where = f": all are in {file}" if file is not None else "; --bad FILE writes them all"
        click.echo(f"  and {number - _SHOWN:,} more{where}", err=True)


def _fail_if(has_failed: object) -> None:
    if has_failed:
        raise click.ClickException("no row of the list can become a mail")


@contextmanager
def _bad_rows(path: Path | None) -> Iterator[Callable[[BadLine], None] | None]:
    """Write bad rows into a file as they are met."""
    if path is None:
        yield None
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["line", "reason"])
        yield writer.writerow
