"""`mailworker dead`: look at what was given up or is held, send it again, or throw it away.

The dead letters are in the spool, and those that travelled in tasks in the broker's queue of dead cargo; here they are one list. It
shows ids and reasons; `show` opens one mail, with the relay's words for each recipient. Where one of the two places is away, what
the other has is shown, with a warning; an order that could not reach both is exit status 1.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import click

from mailworker.cli.project import app_and_settings

if TYPE_CHECKING:
    from mailworker.mail import EmailMessage
    from mailworker.queue.given_up import GivenUp, Letter

#: Characters of an id that may stand for it where no other begins so; an empty variable of a script must not.
_PREFIX = 4

#: Headers that `show` prints, if the message has them.
_SHOWN = ("From", "To", "Cc", "Subject", "Date", "Message-ID")

#: Mails from which on a bar shows how far it is.
_MANY = 50


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
@click.option(
    "--limit", type=click.IntRange(min=1), default=100, show_default=True, metavar="N", help="Show so many at most."
)
@click.option("--mailer", metavar="MAILER", help="Only those that this mailer was to deliver.")
@click.option("--group", metavar="NAME", help="Only those of this group.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_command(limit: int, mailer: str | None, group: str | None, as_json: bool) -> None:
    """List them, oldest first.

    \b
    Examples:
      mailworker dead list
      mailworker dead list --limit 1000 --mailer relay --json
    """
    given_up = _given_up()
    letters, number = given_up.first(limit, mailer, group)
    _warn(given_up)
    if as_json:
        click.echo(json.dumps([letter.to_json() for letter in letters], indent=2, ensure_ascii=False))
    else:
        click.echo(
            "".join(f"{_line(letter)}\n" for letter in letters) or "no dead letters\n", nl=False, err=not letters
        )
    if len(letters) == limit < number:
        click.echo(f"{len(letters)} of {number}, the oldest ones: --limit shows more", err=True)


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
    given_up = _given_up()
    letter = given_up.dated(_one(given_up, mail_id))
    message = _message(given_up, letter)
    if eml:
        if message is None:
            raise click.ClickException(f"{letter.id} holds no message that can be read: {letter.reason}")
        sys.stdout.buffer.write(message.message().as_bytes())
        return
    if as_json:
        shown = letter.to_json() | {"headers": _headers(message)}
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    click.echo(_line(letter))
    for name, value in _headers(message).items():
        click.echo(f"  {name}: {value}")
    if not letter.can_be_read:
        return
    if letter.group is not None:
        click.echo(f"  group: {letter.group}")
    doubt = ", in doubt: a second copy may exist" if letter.in_doubt else ""
    click.echo(f"  attempts: {letter.attempts}{doubt}")
    for recipient, outcome in letter.outcomes.items():
        click.echo(f"  {outcome.kind.value}: {recipient}: {outcome.reply or outcome.text}")


@command.command("replay")
@click.argument("mail_ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All of them.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def replay_command(mail_ids: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Send them again, to the recipients that did not get them yet. They are due at once.

    \b
    Examples:
      mailworker dead replay 5f0c 77a1
      mailworker dead replay --all
    """
    _check(mail_ids, everything=everything)
    given_up = _given_up()
    letters = given_up.all() if everything else _those(given_up, mail_ids)
    left = _act(given_up.replay, letters, "replayed", ", due now", as_json=as_json)
    unreadable = [letter for letter in left if not letter.can_be_read]
    if unreadable:
        raise click.ClickException(
            f"no mail that can be read here is in {_names(unreadable)}: see `mailworker dead show`; a mail that was "
            "encrypted needs its key in MAILWORKER_ENCRYPTION_KEYS"
        )
    _complain(given_up, left, everything=everything)


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
    _check(mail_ids, everything=everything)
    if everything and not yes:
        if not sys.stdin.isatty():
            raise click.UsageError("--all throws away every dead letter: add --yes where nobody can be asked.")
        click.confirm("Throw away every dead letter?", abort=True, err=True)
    given_up = _given_up()
    letters = given_up.all() if everything else _those(given_up, mail_ids, whole=True)
    left = _act(given_up.purge, letters, "purged", "", as_json=as_json)
    _complain(given_up, left, everything=everything)


def _given_up() -> GivenUp:
    app, conf = app_and_settings()
    from mailworker.queue.given_up import GivenUp

    return GivenUp(app, conf)


def _check(given: tuple[str, ...], *, everything: bool) -> None:
    if everything and given:
        raise click.UsageError("Name ids or say --all: not both.")
    if not everything and not given:
        raise click.UsageError("Name the ids (see `mailworker dead list`), or say --all.")


def _those(given_up: GivenUp, given: tuple[str, ...], *, whole: bool = False) -> list[Letter]:
    """Return those that were named; `whole`: by their whole ids."""
    found = [_one(given_up, one, whole=whole) for one in given]
    return list({letter.id: letter for letter in found}.values())


def _one(given_up: GivenUp, mail_id: str, *, whole: bool = False) -> Letter:
    if len(mail_id) < _PREFIX:
        or_so = "a whole one" if whole else f"one, or its first {_PREFIX} characters at least"
        raise click.UsageError(f"{mail_id!r} is no id: expected {or_so}, see `mailworker dead list`.")
    found = given_up.find(mail_id)
    if whole and found and [letter.id for letter in found] != [mail_id.lower()]:
        raise click.UsageError(
            f"{mail_id!r} is the beginning of an id: expected a whole one, see `mailworker dead list`."
        )
    if len({letter.id for letter in found}) > 1:
        raise click.ClickException(f"{len(found)} dead letters have an id that begins with {mail_id}: write more of it")
    if not found:
        _warn(given_up)
        raise click.ClickException(f"no dead letter has the id {mail_id}: see `mailworker dead list`")
    return found[0]


def _act(
    act: Callable[[Sequence[Letter]], Iterator[tuple[Letter, bool]]],
    letters: Sequence[Letter],
    what: str,
    how: str,
    *,
    as_json: bool,
) -> list[Letter]:
    """Do it, show what was done, and return those with which it was not, also where it breaks off in the middle."""
    done: list[str] = []
    left: list[Letter] = []
    try:
        with _bar(act(letters), len(letters), what) as steps:
            for letter, is_done in steps:
                if is_done:
                    done.append(letter.id)
                else:
                    left.append(letter)
    finally:
        if as_json:
            click.echo(json.dumps({what: done}))
        else:
            click.echo("".join(f"{one}\n" for one in done), nl=False)
            click.echo(f"{what}: {len(done)}{how if done else ''}", err=True)
    return left


def _bar(steps: Iterator[tuple[Letter, bool]], number: int, what: str) -> Any:
    if number < _MANY or not sys.stderr.isatty():
        return nullcontext(steps)
    return click.progressbar(steps, length=number, label=what, file=sys.stderr)


def _complain(given_up: GivenUp, left: Sequence[Letter], *, everything: bool) -> None:
    """Fail where not all was done that was asked for."""
    if left:
        raise click.ClickException(f"no dead letter any more: {_names(left)}; see `mailworker status`")
    if everything and given_up.away:
        _warn(given_up)
        raise click.ClickException("these were not all")


def _names(letters: Sequence[Letter]) -> str:
    return ", ".join(sorted(letter.id for letter in letters))


def _warn(given_up: GivenUp) -> None:
    """Say what could not be asked; where that is everything, fail."""
    if not given_up.is_reachable:
        raise click.ClickException("; ".join(given_up.away.values()))
    for why in given_up.away.values():
        click.echo(f"warning: {why}; what is there is left out", err=True)


def _message(given_up: GivenUp, letter: Letter) -> EmailMessage | None:
    from mailworker import settings
    from mailworker.errors import CodecError
    from mailworker.queue.compose import tools

    mail = given_up.mail(letter)
    if mail is None:
        return None
    if mail.is_row:
        return given_up.message_of_row(mail)
    codec = tools(settings.current()).codec
    blobs = [content.stored for content in mail.contents if content.stored is not None]
    try:
        # What travels in a task is one piece.
        return codec.decode(mail.payload) if letter.carrier == "task" else codec.decode_parts(mail.payload, blobs)
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


def _line(letter: Letter) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(letter.died_at)) if letter.died_at else "?"
    found = sorted({str(o.reply.code) for o in letter.outcomes.values() if o.reply and o.reply.code >= 400})
    codes = f" ({', '.join(found)})" if found else ""
    return f"{letter.id}  {when}  {letter.state}: {letter.reason}{codes}"
