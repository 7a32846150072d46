"""The sink as a program: `mailworker sink`, and `python -m mailworker.sink` for programs that start one.

It decides what is shown. The first line of standard output is always `listening on HOST:PORT`, and it is written when clients can
connect; the last one, after SIGINT or SIGTERM, tells the counts. What cannot be started is said in one sentence, with exit status 1.
"""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mailworker.sink.server import DEFAULT_SIZE_LIMIT, Sink, SinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mailworker.sink.received import Received


def serve(
    host: str = "127.0.0.1",
    port: int = 1025,
    directory: Path | str | None = None,
    *,
    refuse: Iterable[str] = (),
    defer_once: Iterable[str] = (),
    size_limit: int = DEFAULT_SIZE_LIMIT,
    quiet: bool = False,
    until_eof: bool = False,
) -> None:
    """Run a sink in this process until SIGINT or SIGTERM; to be called from the main thread.

    Args:
        host: as for `Sink`.
        port: as for `Sink`.
        directory: keep the mails here, and print one line for each; None: print each whole.
        refuse: as for `Sink`.
        defer_once: as for `Sink`.
        size_limit: as for `Sink`, in bytes.
        quiet: print the first and the last line only.
        until_eof: end when standard input ends, too: a parent that holds the other end of the pipe, and is killed,
            leaves nothing running.

    Raises:
        SinkError: if the sink cannot be started.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without UTF-8 shows "?", it ends nothing
    show: Callable[[Received], object] | None = None
    if not quiet:
        show = _print_summary if directory is not None else _printer()
    sink = Sink(
        host,
        port,
        directory,
        on_message=show,
        refuse=refuse,
        defer_once=defer_once,
        size_limit=size_limit,
    )

    asked: list[int] = []

    def ask(number: int, _frame: object) -> None:
        asked.append(number)
        sink.request_stop()

    def announce() -> None:
        shown_host = f"[{host}]" if ":" in host else host
        click.echo(f"listening on {shown_host}:{sink.port}")
        if until_eof:
            threading.Thread(target=_stop_at_eof, args=(sink,), daemon=True).start()
        if asked:  # the signal came before there was anything to stop
            sink.request_stop()

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        asyncio.run(sink.run(announce))
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    click.echo(f"stopped: {sink.counts}")


@click.command("sink")
@click.option("--port", type=click.IntRange(0, 65535), default=1025, show_default=True, help="0 takes any free port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep each mail in this folder as an .eml file, instead of printing it.",
)
@click.option(
    "--refuse",
    multiple=True,
    metavar="PATTERN",
    help="Refuse such recipients for good (550): an address, or a pattern such as 'gone*@example.com'. Repeatable.",
)
@click.option(
    "--defer-once",
    multiple=True,
    metavar="PATTERN",
    help="Answer the first try to such recipients with 450 and take the next. Repeatable.",
)
@click.option("--size-limit", type=click.IntRange(1), default=DEFAULT_SIZE_LIMIT, show_default=True, metavar="BYTES")
@click.option("--quiet", is_flag=True, help="Print the address and, at the end, the counts; nothing else.")
@click.option("--until-eof", is_flag=True, help="End when standard input ends, too.")
def command(
    port: int,
    host: str,
    directory: Path | None,
    refuse: tuple[str, ...],
    defer_once: tuple[str, ...],
    size_limit: int,
    quiet: bool,
    until_eof: bool,
) -> None:
    """Run a dumb SMTP server for development.

    It takes every mail and prints it, or keeps it as an .eml file, and sends nothing anywhere.
    Point EMAIL_HOST and EMAIL_PORT at it.

    \b
    Examples:
      mailworker sink
      mailworker sink --port 2525 --dir mails
      mailworker sink --refuse 'gone@example.com' --defer-once '*@busy.example'
    """
    try:
        serve(
            host,
            port,
            directory,
            refuse=refuse,
            defer_once=defer_once,
            size_limit=size_limit,
            quiet=quiet,
            until_eof=until_eof,
        )
    except SinkError as error:
        raise click.ClickException(str(error)) from error


def _stop_at_eof(sink: Sink) -> None:
    # Not sys.stdin.read: a thread that waits in there holds a lock which the interpreter wants when it ends.
    while os.read(0, 4096):
        pass
    sink.request_stop()


def _print_summary(received: Received) -> None:
    name = f" {received.path.name}" if received.path is not None else ""
    click.echo(f"{received.summary()}{name}")


def _print_plain(received: Received) -> None:
    click.echo(received.headline())
    for name, value in received.headers():
        click.echo(f"{name}: {value}")
    click.echo(f"\n{received.body()}\n")


def _printer() -> Callable[[Received], object]:
    """Return a printer with colours if rich is there and a person is looking."""
    if not sys.stdout.isatty():
        return _print_plain
    try:
        from rich.console import Console
        from rich.text import Text
    except ImportError:
        return _print_plain
    console = Console(highlight=False, markup=False, emoji=False)

    def print_in_colours(received: Received) -> None:
        console.print(Text(received.headline(), style="bold cyan"), soft_wrap=True)
        for name, value in received.headers():
            console.print(Text.assemble((f"{name}: ", "bold"), value), soft_wrap=True)
        console.print(Text(f"\n{received.body()}\n"), soft_wrap=True)

    return print_in_colours
