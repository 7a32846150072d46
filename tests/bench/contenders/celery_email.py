"""django-celery-email: a Celery task for each chunk of mails, which opens a connection, sends, and closes it.

Its worker gets what makes it quick: no results, no talk between workers, and Celery's own log level, at which it says nothing of
tasks that went well. Chunks matter only where many mails are sent in one call.
"""

from __future__ import annotations

import sys
from typing import Any

from tests.bench.child import Child
from tests.bench.contenders.base import Contender
from tests.bench.place import Place
from tests.bench.scenario import CELERY_EMAIL, Entry, Scenario

#: Tasks fetched ahead for each process: Celery's default. Between 1 and 256 there was no difference beyond that of two runs.
_PREFETCH = 4


class DjangoCeleryEmail(Contender):
    name = CELERY_EMAIL
    keeps = "Redis"
    producers = 2

    def env(self, place: Place, entry: Entry) -> dict[str, str]:
        return place.env | {
            "DJANGO_SETTINGS_MODULE": "tests.bench.peers.settings",
            "BENCH_BACKEND": "djcelery_email.backends.CeleryEmailBackend",
            "BENCH_APPS": "djcelery_email",
            "BENCH_CHUNK": str(entry.chunk),
            "BENCH_PREFETCH": str(_PREFETCH),
        }

    def start(self, place: Place, scenario: Scenario, entry: Entry, count: int) -> Child:
        argv = [sys.executable, "-m", "celery", "-A", "tests.bench.peers.celery_app", "worker"]
        argv += ["-c", str(entry.sessions), "-P", entry.pool]
        argv += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        return Child(argv, self.env(place, entry), place.folder / "worker.log")

    def is_done(self, place: Place, count: int, child: Child) -> bool:
        client: Any = place.redis()
        with client:
            return not client.llen("celery") and not client.hlen("unacked")
