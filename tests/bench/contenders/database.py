"""django-mailer and django-post_office: queues in a database, drained by a management command.

Django has started, and the queue was read, before the rate is taken. What the database is says `peers.settings`.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from abc import abstractmethod
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from tests.bench.child import Child
from tests.bench.contenders.base import Contender
from tests.bench.place import Place
from tests.bench.scenario import DJANGO_MAILER, POST_OFFICE, Entry, Scenario
from tests.processes import clean_environment

_DATABASE = "peer.sqlite3"

#: Batches of a run of django-post_office, and how large each is: from its default to where more gains little.
_BATCHES = 5
_BATCH = range(100, 5000)


class _InDatabase(Contender):
    keeps = "SQLite"
    app: ClassVar[str]
    backend: ClassVar[str]

    def prepare(self, place: Place) -> None:
        (place.folder / _DATABASE).write_bytes(self._empty)

    def env(self, place: Place, entry: Entry) -> dict[str, str]:
        return place.env | self._project

    def start(self, place: Place, scenario: Scenario, entry: Entry, count: int) -> Child:
        return Child(self.argv(place, entry), self.env(place, entry), place.folder / "worker.log")

    def argv(self, place: Place, entry: Entry) -> list[str]:
        return [sys.executable, "-m", "django", *self.command(place, entry)]

    @abstractmethod
    def command(self, place: Place, entry: Entry) -> list[str]:
        """Return the management command that sends what is queued, once."""

    @property
    def _project(self) -> dict[str, str]:
        return {
            "DJANGO_SETTINGS_MODULE": "tests.bench.peers.settings",
            "BENCH_BACKEND": self.backend,
            "BENCH_APPS": self.app,
        }

    @cached_property
    def _empty(self) -> bytes:
        """A database with its tables, made once."""
        folder = Path(tempfile.mkdtemp(prefix="mailworker-bench-"))
        try:
            env = {"BENCH_FOLDER": str(folder), "EMAIL_HOST": "", "EMAIL_PORT": "1", "DEFAULT_FROM_EMAIL": ""}
            subprocess.run(
                [sys.executable, "-m", "django", "migrate", "--verbosity", "0"],
                env=clean_environment() | env | self._project,
                check=True,
                stdin=subprocess.DEVNULL,
            )
            return (folder / _DATABASE).read_bytes()
        finally:
            shutil.rmtree(folder)


class DjangoMailer(_InDatabase):
    name = DJANGO_MAILER
    app = "mailer"
    backend = "mailer.backend.DbBackend"

    def command(self, place: Place, entry: Entry) -> list[str]:
        return ["send_mail"]


class PostOffice(_InDatabase):
    name = POST_OFFICE
    app = "post_office"
    backend = "post_office.EmailBackend"

    def start(self, place: Place, scenario: Scenario, entry: Entry, count: int) -> Child:
        # For each batch it starts processes, renders all mails, and connects; only then the first one goes. The larger the better,
        # but a rate has to be taken over several, or all of that would be left out of it.
        batch = min(max(count // _BATCHES, _BATCH.start), _BATCH.stop)
        env = self.env(place, entry) | {"BENCH_BATCH": str(batch), "BENCH_THREADS": "1"}
        return Child(self.argv(place, entry), env, place.folder / "worker.log")

    def command(self, place: Place, entry: Entry) -> list[str]:
        return [
            *("send_queued_mail", "--processes", str(entry.sessions)),
            *("--lockfile", str(place.folder / "post_office")),
        ]
