"""`mailworker demo`: the options of the demo, and what is shown of it.

What is missing on this machine is said in one sentence before anything is started. Exit status 0 only if every mail came to
the end that it should.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

#: Mails of a demo with one of each kind, and what fits into the five digits of their addresses (`kind.recipient`).
FEWEST, MOST = 10, 99_999


def _number_of_mails(ctx: click.Context, param: click.Parameter, value: int) -> int:
    if value < FEWEST:
        raise click.BadParameter(f"{value} is too few: give at least {FEWEST}, so that each kind of mail is there.")
    if value > MOST:
        raise click.BadParameter(f"{value} is too many: give at most {MOST}, each mail has a number of five digits.")
    return value


class HostPort(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on only
    """HOST:PORT, or [IPv6]:PORT."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, int]:
        """Read one."""
        if isinstance(value, tuple):
            return value
        host, colon, port = str(value).rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        is_host = bool(host) and host.isprintable() and " " not in host
        if not colon or not is_host or not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            self.fail(f"{value!r} is no relay: write HOST:PORT, such as localhost:1025.", param, ctx)
        return host, int(port)


@click.command("demo")
@click.option(
    "-n",
    "mails",
    type=int,
    callback=_number_of_mails,
    default=1000,
    show_default=True,
    metavar="N",
    help=f"Mails to send, {FEWEST} to {MOST}.",
)
@click.option(
    "--smtp", type=HostPort(), metavar="HOST:PORT", help="Send to this relay, not to a sink of the demo's own."
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the .eml files.  [default: a new one]",
)
@click.option(
    "-c",
    "processes",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    metavar="N",
    help="Processes of the worker.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(
    ctx: click.Context,
    mails: int,
    smtp: tuple[str, int] | None,
    directory: Path | None,
    processes: int,
    as_json: bool,
) -> None:
    """See a thousand mails go the whole way, on this machine alone.

    Starts a broker (a redis-server if there is one, else one in Python), an SMTP sink and a real worker,
    sends mails of several kinds with send_mail() and its kin, and shows what came of each: one recipient
    is refused for good, another deferred and then taken. Settings, .env and brokers that are there are
    left alone, and nothing is left running.

    \b
    Examples:
      mailworker demo
      mailworker demo -n 10000 -c 4
      mailworker demo --smtp localhost:1025
    """
    if smtp is not None and directory is not None:
        raise click.UsageError("--dir is for the sink's mails: there is none with --smtp.")
    _need_extra(with_sink=smtp is None)

    from mailworker.demo import display
    from mailworker.demo.run import Order, perform

    order = Order(mails, processes, directory, smtp)
    shown: display.Silent = display.Silent()
    if not as_json:
        shown = display.Bars() if display.is_terminal() else display.Lines()
    with shown:
        report = perform(order, shown)
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    else:
        display.show(report)
        for problem in report.problems:
            click.secho(f"problem: {problem}", fg="red", err=True)
    ctx.exit(1 if report.problems else 0)


def _need_extra(*, with_sink: bool) -> None:
    from mailworker.testing import broker

    needed = ["rich"]
    needed += ["aiosmtpd"] if with_sink else []
    needed += ["fakeredis"] if broker.program() is None else []
    missing = [name for name in needed if find_spec(name) is None]
    if missing:
        names = " and ".join(filter(None, [", ".join(missing[:-1]), missing[-1]]))
        verb = "is" if len(missing) == 1 else "are"
        raise click.ClickException(
            f"the demo needs {names}, which {verb} not installed; run: pip install 'mailworker[demo]'"
        )
