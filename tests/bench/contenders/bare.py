"""Those that send mail and have no queue: a loop over smtplib, and Postfix's own load generator."""

from __future__ import annotations

import sys

from tests.bench.child import Child
from tests.bench.contenders.base import Contender
from tests.bench.letters import SENDER, recipient, rendered
from tests.bench.place import Place
from tests.bench.postfix import Postfix
from tests.bench.scenario import LIMIT, LOOP, Entry, Scenario


class Loop(Contender):
    """`SMTP.sendmail` again and again."""

    name = LOOP

    def start(self, place: Place, scenario: Scenario, entry: Entry, count: int) -> Child:
        file = place.folder / "mail"
        file.write_bytes(rendered(scenario.letter))
        argv = [sys.executable, "-m", "tests.bench.smtplib_loop", str(file), str(count)]
        return Child(argv, self.env(place, entry), place.folder / "worker.log")


class Limit(Contender):
    """smtp-source: C, one process, no pipelining; a connection is kept for many messages (-d)."""

    name = LIMIT

    def __init__(self, postfix: Postfix) -> None:
        self._postfix = postfix

    def env(self, place: Place, entry: Entry) -> dict[str, str]:
        return place.env | self._postfix.env

    def start(self, place: Place, scenario: Scenario, entry: Entry, count: int) -> Child:
        # The length is that of the content; header lines it makes itself.
        length = len(rendered(scenario.letter).partition(b"\r\n\r\n")[2])
        argv = [str(self._postfix.source), "-d", "-s", str(entry.sessions), "-m", str(count), "-l", str(length)]
        argv += ["-f", SENDER, "-t", recipient(0), f"127.0.0.1:{place.env['EMAIL_PORT']}"]
        return Child(argv, self.env(place, entry), place.folder / "worker.log")
