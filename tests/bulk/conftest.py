"""Bulks in a spool of their own, with templates, as a program has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import mailworker.mail
from mailworker import settings
from mailworker.bulk.mailing import Mailing, mailing
from mailworker.lane import LANES
from mailworker.outcome import Outcome, OutcomeClass, Reply
from mailworker.queue import app as apps
from mailworker.queue import dispatch, eager, spools
from mailworker.spool.base import Leased
from mailworker.spool.bulk import Bulk
from mailworker.spool.redis import RedisSpool
from tests.processes import RedisServer

ACCEPTED = Outcome(OutcomeClass.ACCEPTED, Reply(250, "OK"))
REJECTED = Outcome(OutcomeClass.REJECTED, Reply(550, "=No such user here", "5.1.1"))

KEY = "kKUT_1f0w5pM7RYUUCj9nCmGXyIWJHmXoPKuSWg_l1s="

TEMPLATES = {
    "news.subject.txt": "News for {{ name }}",
    "news.txt": "Dear {{ name }},\n\nthere is news.\n",
    "news.html": "<p>Dear {{ name }},</p><p>there is news.</p>",
    "other.subject.txt": "Other news",
    "other.txt": "Dear {{ name }},\n\nthere is other news.\n",
}


@pytest.fixture(scope="module")
def redis():
    with RedisServer() as server:
        yield server


@pytest.fixture
def templates(tmp_path) -> Path:
    folder: Path = tmp_path / "templates"
    folder.mkdir()
    for name, text in TEMPLATES.items():
        (folder / name).write_text(text)
    return folder


class Place:
    """A spool with a namespace of its own."""

    def __init__(self, url: str, namespace: str, templates: Path) -> None:
        self.env = {
            "MAILWORKER_BROKER_URL": url,
            "MAILWORKER_NAMESPACE": namespace,
            "MAILWORKER_TEMPLATES": str(templates),
            "DEFAULT_FROM_EMAIL": "news@example.com",
        }

    @property
    def spool(self) -> RedisSpool:
        """The spool, by the settings as they are now."""
        spool = spools.for_producers(apps.own(), settings.current())
        assert spool is not None
        return spool

    def bulk(self, name: str = "news-1") -> Bulk:
        found = self.spool.bulks.get(name)
        assert found is not None
        return found

    def claimed(self, number: int) -> list[Leased]:
        """Take mails into a worker's hands."""
        return list(self.spool.claim(LANES, number, 60).leased)

    def settle(self, number: int, outcome: Callable[[int], Outcome] = lambda _: ACCEPTED) -> list[Leased]:
        """Bring the mails of the first `rows` to their end, each by what `outcome` says of its place."""
        taken = self.claimed(number)
        for place, one in enumerate(taken):
            assert self.spool.mark(one, 60)
            said = outcome(place)
            address = f"user{place}@example{place % 3}.com"
            if said.kind is OutcomeClass.ACCEPTED:
                assert self.spool.done(one, {address: said})
            else:
                assert self.spool.bury(one, {address: said}, "rejected")
        return taken


@pytest.fixture
def place(redis, request, templates):
    namespace = f"t{abs(hash(request.node.nodeid)) % 10**9}"
    apps.uninstall()
    with settings.override(
        MAILWORKER_BROKER_URL=redis.url,
        MAILWORKER_NAMESPACE=namespace,
        MAILWORKER_TEMPLATES=[templates],
        DEFAULT_FROM_EMAIL="news@example.com",
        EMAIL_BACKEND=settings.QUEUE_BACKEND,
    ):
        yield Place(redis.url, namespace, templates)
        spools.close(apps.own())
        dispatch.close(apps.own())
    apps.uninstall()


@pytest.fixture
def in_process(templates, monkeypatch):
    """Eager mode, with a backend that keeps what it is given: the list that is returned."""
    eager.reset()
    monkeypatch.setattr("mailworker.mail.outbox", [])
    with settings.override(
        MAILWORKER_TASK_ALWAYS_EAGER=True,
        MAILWORKER_TEMPLATES=[templates],
        DEFAULT_FROM_EMAIL="news@example.com",
        EMAIL_BACKEND=settings.QUEUE_BACKEND,
        EMAIL_DELIVERY_BACKEND="mailworker.mail.backends.locmem.EmailBackend",
    ):
        yield mailworker.mail.outbox
    eager.reset()


def rows(number: int, first: int = 0) -> list[dict[str, str]]:
    return [{"email": f"user{n}@example{n % 3}.com", "name": f"User {n}"} for n in range(first, first + number)]


def wanted(rows, name: str = "news-1", template: str = "news", **options) -> Mailing:
    return mailing(name, template, rows, **options)
