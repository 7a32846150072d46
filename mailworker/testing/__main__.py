"""The scripted SMTP server as a process: `python -m mailworker.testing --help`.

It decides nothing that the server does not; it prints where it listens and what was accepted, as lines of JSON. Wrong
usage is one sentence and exit status 2, a port that it cannot listen on one sentence and 1.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from mailworker.testing.script import Script, is_reply
from mailworker.testing.smtpd import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a server as a process until its standard input ends or it is told to terminate.

    It prints `{"host": ..., "port": ...}` and then a line of JSON for each accepted transaction.
    """
    parser = argparse.ArgumentParser(prog="python -m mailworker.testing", description=main.__doc__)
    parser.add_argument("--port", type=_port, default=0, help="0 (the default) takes a free one")
    parser.add_argument(
        "--rcpt", type=_pair, action="append", default=[], metavar="ADDRESS=REPLY", help="answer to this recipient"
    )
    parser.add_argument(
        "--dot", type=_reply, action="append", metavar="REPLY", help="answers to the final dots, one after another"
    )
    options = parser.parse_args(arguments)
    server = ScriptedServer(Script(rcpt=dict(options.rcpt), dot=options.dot or ()), port=options.port)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        server.start()
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        parser.exit(1, f"{parser.prog}: --port {options.port} cannot be listened on: {why}; 0 takes a free one\n")
    try:
        _print({"host": server.host, "port": server.port})
        threading.Thread(target=_report, args=(server,), daemon=True).start()
        with suppress(KeyboardInterrupt):
            while sys.stdin.readline():
                pass
    finally:
        server.stop()
    return 0


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r} is no port: give a number from 0 to 65535")
    return int(text)


def _pair(text: str) -> tuple[str, str]:
    address, equals, reply = text.partition("=")
    if not address or not equals:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no answer to a recipient: write ADDRESS=REPLY, such as 'ann@example.com=550 5.1.1 no'"
        )
    return address, _reply(reply)


def _reply(text: str) -> str:
    if not is_reply(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no reply: begin with a code, such as '450 4.2.0 busy'")
    return text


def _report(server: ScriptedServer) -> None:
    count = 0
    while True:
        with suppress(AssertionError):
            server.wait_for(count + 1)
        for one in server.accepted[count:]:
            content = one.content.decode("latin-1")
            _print({"sender": one.sender, "recipients": one.recipients, "content": content})
            count += 1


def _print(line: dict[str, object]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
