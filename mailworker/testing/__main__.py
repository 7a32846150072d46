"""The scripted SMTP server as a process: `python -m mailworker.testing --help`.

It decides nothing that the server does not; it prints where it listens and what was accepted, as lines of JSON.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from mailworker.testing.script import Script
from mailworker.testing.smtpd import ScriptedServer

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a server as a process until its standard input ends or it is told to terminate.

    It prints `{"host": ..., "port": ...}` and then a line of JSON for each accepted transaction.
    """
    parser = argparse.ArgumentParser(prog="python -m mailworker.testing.smtpd", description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument("--rcpt", action="append", default=[], metavar="ADDRESS=REPLY", help="answer to this recipient")
    parser.add_argument("--dot", action="append", metavar="REPLY", help="answers to the final dots, one after another")
    options = parser.parse_args(arguments)
    script = Script(rcpt=dict(pair.split("=", 1) for pair in options.rcpt), dot=options.dot or ())
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ScriptedServer(script, port=options.port) as server:
        _print({"host": server.host, "port": server.port})
        threading.Thread(target=_report, args=(server,), daemon=True).start()
        with suppress(KeyboardInterrupt):
            while sys.stdin.readline():
                pass
    return 0


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
    print(json.dumps(line), flush=True)  # noqa: T201 - it prints


if __name__ == "__main__":
    sys.exit(main())
