"""`mailworker send`: compose one mail from options and standard input, queue it, print its id.

It makes the message and hands it over; what is allowed in it is decided where messages are checked. A mistake in what was
typed is wrong usage (2), a queue that does not take the mail a failure (1).
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mailworker.cli.handover import check_handover
from mailworker.cli.header import read_headers
from mailworker.cli.project import find_project
from mailworker.cli.when import Duration, DurationOrMoment, Moment
from mailworker.lane import LANES

if TYPE_CHECKING:
    from mailworker.mail import EmailMessage

_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.command("send")
@click.option("--to", "to", multiple=True, metavar="ADDRESS", help="Recipient. Repeatable.")
@click.option("--cc", multiple=True, metavar="ADDRESS", help="Recipient of a copy. Repeatable.")
@click.option("--bcc", multiple=True, metavar="ADDRESS", help="Recipient that nobody sees. Repeatable.")
@click.option("--from", "sender", metavar="ADDRESS", help="Sender.  [default: DEFAULT_FROM_EMAIL]")
@click.option("--reply-to", multiple=True, metavar="ADDRESS", help="Where answers go. Repeatable.")
@click.option("--subject", default="", help="Subject line.")
@click.option("--body", metavar="TEXT", help="The text.  [default: standard input]")
@click.option("--html", type=_FILE, metavar="FILE", help="The same as HTML, from a file.")
@click.option("--attach", type=_FILE, multiple=True, metavar="FILE", help="Attach a file. Repeatable.")
@click.option("--header", multiple=True, metavar="NAME=VALUE", help="A further header. Repeatable.")
@click.option(
    "--at", type=Moment(), metavar="MOMENT", help="Not before: 2026-12-24T18:00, 'tuesday 9:00 Europe/Berlin', +2h."
)
@click.option("--delay", type=Duration(), metavar="TIME", help="Not before this long from now: 90, 10m, 1h30m, 2d.")
@click.option("--expires", type=DurationOrMoment(), metavar="WHEN", help="Not after: as --delay, or as --at.")
@click.option("--lane", type=click.Choice([lane.value for lane in LANES]), help="How urgent it is.  [default: normal]")
@click.option("--using", metavar="MAILER", help="Mailer of MAILERS.")
@click.option("--key", metavar="TEXT", help="One key is one mail: with a known one nothing new is queued.")
@click.option("--group", metavar="NAME", help="Set of mails that it belongs to.")
@click.option(
    "--wait", type=Duration(), is_flag=False, flag_value="60", metavar="[TIME]",
    help="Wait until it is sent, or has failed; 60 seconds if no time is given.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    to: tuple[str, ...],
    cc: tuple[str, ...],
    bcc: tuple[str, ...],
    sender: str | None,
    reply_to: tuple[str, ...],
    subject: str,
    body: str | None,
    html: Path | None,
    attach: tuple[Path, ...],
    header: tuple[str, ...],
    at: datetime | None,
    delay: timedelta | None,
    expires: timedelta | datetime | None,
    lane: str | None,
    using: str | None,
    key: str | None,
    group: str | None,
    wait: timedelta | None,
    as_json: bool,
) -> None:
    """Queue one mail and print its id.

    The text comes from --body, or from standard input. A worker delivers it. With --wait, the exit
    status is 1 if it was not sent in time; it stays queued then. --key, --group and --wait need the spool.

    \b
    Examples:
      mailworker send --to ann@example.com --subject Hello --body 'It works.'
      uptime | mailworker send --to ops@example.com --subject uptime --lane high
      mailworker send --to ann@example.com --subject Report --attach report.pdf \\
          --body 'See attached.' --delay 10m --expires 2d
      mailworker send --to ann@example.com --subject Test --body x --wait 30
    """
    _check_recipients({"--to": to, "--cc": cc, "--bcc": bcc})
    if at is not None and delay is not None:
        raise click.UsageError("--at and --delay both say when: keep one.")
    headers = read_headers(header)
    text = body if body is not None else _standard_input()
    find_project()

    from mailworker.errors import BadHeaderError, EnqueueError, InvalidAddress
    from mailworker.mail import EmailMultiAlternatives
    from mailworker.queue import client

    check_handover(using)
    _check_wait(wait)
    message = EmailMultiAlternatives(
        subject, text, sender, list(to), list(bcc), headers=headers, cc=list(cc), reply_to=list(reply_to)
    )
    if html is not None:
        message.attach_alternative(_utf8(html), "text/html")
    for path in attach:
        message.attach_file(path)
    try:
        ids = client.enqueue(message, using=using, at=at, delay=delay, expires=expires, lane=lane, key=key, group=group)
    except (BadHeaderError, InvalidAddress) as error:
        raise click.UsageError(str(error)) from error
    except EnqueueError:
        raise
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        raise click.UsageError(str(error)) from error
    if not ids:
        raise click.ClickException("the mail was not queued: it has no recipients")
    _print(ids[0], message, lane, _due(at, delay), as_json=as_json)
    if wait is not None:
        from mailworker.cli.waiting import wait_for

        wait_for(ids[0], wait.total_seconds())


def _check_recipients(given: dict[str, tuple[str, ...]]) -> None:
    if not any(given.values()):
        raise click.UsageError("Nobody to send to: give --to, --cc or --bcc.")
    for option, addresses in given.items():
        if not all(address.strip() for address in addresses):
            # A variable of a script that nobody has set: somebody would miss the mail.
            raise click.UsageError(f"{option} is empty: expected an address such as ann@example.com.")


def _check_wait(wait: timedelta | None) -> None:
    from mailworker.queue import client

    if wait is not None and not client.has_spool():
        raise click.UsageError(
            "--wait needs the spool, and mail travels in Celery tasks here: set MAILWORKER_SPOOL_URL to a Redis."
        )


def _standard_input() -> str:
    if sys.stdin is None:
        raise click.UsageError("Standard input is closed: give the text with --body, or --body '' for none.")
    stream = sys.stdin.buffer
    if stream.isatty():
        click.echo("Type the text; end it with Ctrl-D on a line of its own.", err=True)
    return _decoded(stream.read(), "standard input")


def _utf8(path: Path) -> str:
    return _decoded(path.read_bytes(), str(path))


def _decoded(content: bytes, what: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"{what} is no text in UTF-8 (byte {error.start + 1}): convert it, or send it with --attach."
        ) from error


def _due(at: datetime | None, delay: timedelta | None) -> datetime | None:
    if delay is not None:
        return datetime.now(UTC) + delay
    return at.astimezone(UTC) if at is not None else None


def _print(mail_id: str, message: EmailMessage, lane: str | None, due: datetime | None, *, as_json: bool) -> None:
    if not as_json:
        click.echo(mail_id)
        return
    shown: dict[str, Any] = {
        "id": mail_id,
        "recipients": len(message.recipients()),
        "lane": lane or "normal",
        "due_at": due.isoformat(timespec="seconds") if due is not None else None,
    }
    click.echo(json.dumps(shown))
