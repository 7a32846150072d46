"""`mailworker dead`: look at what was given up, send it again, or throw it away.

The dead letters of the task carrier are in the queue of dead cargo. The list shows ids and reasons; `show` opens one mail,
with the relay's words for each recipient.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from mailworker.cli.project import find_project

if TYPE_CHECKING:
    from mailworker.mail import EmailMessage
    from mailworker.queue.dead import DeadQueue, Entry

#: Characters of an id that may stand for it where no other begins so; an empty variable of a script must not.
_PREFIX = 4

#: Headers that `show` prints, if the message has them.
_SHOWN = ("From", "To", "Cc", "Subject", "Date", "Message-ID")


@click.group("dead", short_help="List, show, replay and purge the dead letters.")
def command() -> None:
    """The dead letters: mails that were given up, or are held for a person.

    \b
    Examples:
      mailworker dead list
      mailworker dead show 5f0c
      mailworker dead replay --all
      mailworker dead purge 5f0c9a41d0a94c0c8bb5dd6c1c2b0e5e
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_command(as_json: bool) -> None:
    """List them, oldest first.

    \b
    Example:
      mailworker dead list
    """
    entries = _queue().entries()
    if as_json:
        click.echo(json.dumps([entry.to_json() for entry in entries], indent=2, ensure_ascii=False))
        return
    if not entries:
        click.echo("no dead letters", err=True)
    for entry in entries:
        click.echo(_line(entry))


@command.command("show")
@click.argument("mail_id", metavar="ID")
@click.option("--eml", is_flag=True, help="Print the message itself, as it would be sent.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_command(mail_id: str, eml: bool, as_json: bool) -> None:
    """Show one: its headers, and what the relay said of each recipient.

    The beginning of an id is enough if no other id begins so.

    \b
    Examples:
      mailworker dead show 5f0c
      mailworker dead show 5f0c --eml > letter.eml
    """
    entry = _one(_queue().entries(), mail_id)
    message = _message(entry)
    if eml:
        if message is None:
            raise click.ClickException(f"{entry.id} holds no message that can be read: {entry.reason}")
        sys.stdout.buffer.write(message.message().as_bytes())
        return
    if as_json:
        shown = entry.to_json() | {"headers": _headers(message)}
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    click.echo(_line(entry))
    for name, value in _headers(message).items():
        click.echo(f"  {name}: {value}")
    if entry.mail is None:
        return
    ledger = entry.mail.ledger
    doubt = ", in doubt: a second copy may exist" if ledger.in_doubt else ""
    click.echo(f"  attempts: {ledger.attempts}{doubt}")
    for recipient, outcome in ledger.outcomes.items():
        click.echo(f"  {outcome.kind.value}: {recipient}: {outcome.reply or outcome.text}")


@command.command("replay")
@click.argument("mail_ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def replay_command(mail_ids: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Send them again, to the recipients that did not get them yet.

    \b
    Examples:
      mailworker dead replay 5f0c 77a1
      mailworker dead replay --all
    """
    queue = _queue()
    ids = _ids(queue, mail_ids, everything=everything)
    done = queue.replay(ids)
    _tell("replayed", done, as_json=as_json)
    left = {entry.id for entry in queue.entries()} if ids is None else ids - set(done)
    if left:
        raise click.ClickException(
            f"no mail that can be read here is in {', '.join(sorted(left))}: see `mailworker dead show`; a mail that was "
            "encrypted needs its key in MAILWORKER_ENCRYPTION_KEYS"
        )


@command.command("purge")
@click.argument("mail_ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them; asks first.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def purge_command(mail_ids: tuple[str, ...], everything: bool, yes: bool, as_json: bool) -> None:
    """Throw them away for good.

    \b
    Examples:
      mailworker dead purge 5f0c9a41d0a94c0c8bb5dd6c1c2b0e5e
      mailworker dead purge --all --yes

    It wants whole ids: what is thrown away does not come back.
    """
    queue = _queue()
    if everything and not mail_ids and not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("--all throws away every dead letter: add --yes where nobody can be asked.")
        click.confirm("Throw away every dead letter?", abort=True, err=True)
    _tell("purged", queue.purge(_ids(queue, mail_ids, everything=everything, whole=True)), as_json=as_json)


def _queue() -> DeadQueue:
    find_project()
    from mailworker import settings
    from mailworker.mail.sealing import Sealer
    from mailworker.queue import app as apps
    from mailworker.queue.dead import DeadQueue

    app = apps.current()
    # After the project is imported, which may have called `configure()`.
    conf = settings.current()
    return DeadQueue(app, conf.MAILWORKER_NAMESPACE, Sealer(_keys(conf)))


def _keys(conf: Any) -> list[str]:
    return [key.get_secret_value() for key in conf.MAILWORKER_ENCRYPTION_KEYS]


def _ids(queue: DeadQueue, given: tuple[str, ...], *, everything: bool, whole: bool = False) -> set[str] | None:
    """Return the whole ids of those that were named; None for all. `whole`: they have to be named by their whole ids."""
    if everything and given:
        raise click.UsageError("Name ids or say --all: not both.")
    if everything:
        return None
    if not given:
        raise click.UsageError("Name the ids (see `mailworker dead list`), or say --all.")
    entries = queue.entries()
    return {_one(entries, one, whole=whole).id for one in given}


def _one(entries: list[Entry], mail_id: str, *, whole: bool = False) -> Entry:
    found = [entry for entry in entries if entry.id == mail_id]
    if not found and whole and any(entry.id.startswith(mail_id.lower()) for entry in entries):
        raise click.UsageError(
            f"{mail_id!r} is the beginning of an id: expected a whole one, see `mailworker dead list`."
        )
    if not found and len(mail_id) < _PREFIX:
        raise click.UsageError(f"{mail_id!r} is no id: expected one, or its first {_PREFIX} characters at least.")
    found = found or [entry for entry in entries if entry.id.startswith(mail_id.lower())]
    if not found:
        raise click.ClickException(f"no dead letter has the id {mail_id}: see `mailworker dead list`")
    if len({entry.id for entry in found}) > 1:
        raise click.ClickException(f"{len(found)} dead letters have an id that begins with {mail_id}: write more of it")
    return found[0]


def _message(entry: Entry) -> EmailMessage | None:
    from mailworker import settings
    from mailworker.errors import CodecError
    from mailworker.mail.codec import Codec

    if entry.mail is None:
        return None
    try:
        return Codec(_keys(settings.current())).decode(entry.mail.payload)
    except CodecError:
        return None


def _headers(message: EmailMessage | None) -> dict[str, str]:
    if message is None:
        return {}
    from email.header import decode_header, make_header

    rendered = message.message()
    found = {name: str(make_header(decode_header(str(rendered[name])))) for name in _SHOWN if rendered[name]}
    # What came in a mail must not speak to the terminal.
    return {name: "".join(c if c.isprintable() else " " for c in value) for name, value in found.items()}


def _line(entry: Entry) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry.died_at)) if entry.died_at else "?"
    codes = ""
    if entry.mail is not None:
        found = sorted(
            {str(o.reply.code) for o in entry.mail.ledger.outcomes.values() if o.reply and o.reply.code >= 400}
        )
        codes = f" ({', '.join(found)})" if found else ""
    return f"{entry.id}  {when}  {entry.state}: {entry.reason}{codes}"


def _tell(what: str, done: list[str], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({what: done}))
        return
    for one in done:
        click.echo(one)
    click.echo(f"{what}: {len(done)}", err=True)
