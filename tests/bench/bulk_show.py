"""The README's picture of `mailworker bulk show`, taken in the middle of a real bulk: `python -m tests.bench.bulk_show [FILE]`.

A worker with two processes sends to a relay that refuses one domain, is busy for another, and takes the rest; the picture is what the
command draws on a terminal of a hundred columns.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from mailworker import bulk, settings
from mailworker.cli.bulk.looking import look
from mailworker.cli.bulk.picture import picture
from mailworker.cli.bulk.speed import Speed, settled
from mailworker.queue import app as apps
from mailworker.testing import OK, Command, Script, ScriptedServer
from mailworker.testing.script import Answer
from tests.processes import RedisServer, Worker

FILE = Path(__file__).parent / "results" / "bulk-show.svg"
NAME = "spring"
ROWS = 12_000

#: Of a hundred recipients in a row, how many are of which domain.
DOMAINS = {"example.com": 52, "example.org": 30, "mail.example": 14, "gone.example": 3, "busy.example": 1}


def answer(command: Command) -> Answer:
    """Return what the relay says to a recipient."""
    recipient = command.recipients[-1]
    if recipient.endswith("@gone.example"):
        return "550 5.1.2 The domain of this address is gone"
    return "450 4.2.1 Try again later" if recipient.endswith("@busy.example") else OK


def rows() -> Iterator[dict[str, str]]:
    """Yield the list."""
    domains = [domain for domain, number in DOMAINS.items() for _ in range(number)]
    for number in range(ROWS):
        # In no order: 37 has no divisor in common with 100.
        yield {"email": f"reader{number}@{domains[number * 37 % 100]}", "name": f"Reader {number}"}


def drawn(templates: Path) -> Console:
    """Return a terminal with the picture on it."""
    (templates / "news.subject.txt").write_text("News for {{ name }}")
    (templates / "news.txt").write_text("Dear {{ name }}, spring has come.\n")
    with ScriptedServer(Script(rcpt=answer)) as relay, RedisServer() as redis:
        names = {
            "MAILWORKER_BROKER_URL": redis.url,
            "MAILWORKER_TEMPLATES": str(templates),
            "DEFAULT_FROM_EMAIL": "shop@example.com",
        }
        apps.uninstall()
        with (
            settings.override(**names),
            Worker({**names, "EMAIL_HOST": relay.host, "EMAIL_PORT": str(relay.port)}, "-c", "2"),
        ):
            bulk.send(NAME, "news", rows(), rate="400/s")
            speed = Speed()
            while settled((now := look(NAME, speed)).bulk) < 0.62 * ROWS:
                time.sleep(1)
        apps.uninstall()
    console = Console(record=True, width=100, force_terminal=True, highlight=False)
    console.print(picture(now, 40))
    return console


def main() -> None:
    """Draw it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=FILE)
    asked = parser.parse_args()
    with TemporaryDirectory() as templates:
        console = drawn(Path(templates))
    asked.file.write_text(console.export_svg(title=f"mailworker bulk show {NAME}"))


if __name__ == "__main__":
    main()
