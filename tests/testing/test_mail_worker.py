"""When a test's queue is drained: no mail that moves while it is looked at is overlooked."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, cast

import pytest

from mailworker.lane import LANES
from mailworker.spool.memory import MemorySpool
from mailworker.spool.record import Mail, MailStatus, State
from mailworker.testing.mail_worker import MailWorker
from mailworker.testing.part import Part


class Moving(MemorySpool):
    """A spool whose worker puts its mail back for a second while somebody lists what is leased."""

    def ids(self, state: State) -> list[str]:
        for one in self.taken if state is State.LEASED else ():
            self.defer(one, time.time() + 1, {})
        return super().ids(state)

    def statuses(self, mail_ids: Iterable[str]) -> list[MailStatus]:
        return [one for one in map(self.status, mail_ids) if one is not None]

    def take(self) -> None:
        self.taken = self.claim(LANES, 1, 60).leased


@pytest.fixture
def spool() -> Moving:
    return Moving()


@pytest.fixture
def worker(spool: Moving, monkeypatch: pytest.MonkeyPatch) -> MailWorker:
    one = MailWorker("", "", cast("Part", None), ())
    monkeypatch.setattr(one, "_spool", lambda: cast("Any", spool))
    return one


def test_a_mail_in_the_workers_hands_is_unfinished(worker: MailWorker, spool: Moving) -> None:
    spool.put([Mail(id="0" * 32, payload=b"x")])
    assert not worker._is_drained(5)
    spool.take()
    assert not worker._is_drained(5)
    spool.done(spool.taken[0], {})
    assert worker._is_drained(5)


def test_only_a_mail_that_is_due_after_the_wait_does_not_count(worker: MailWorker, spool: Moving) -> None:
    spool.put([Mail(id="0" * 32, payload=b"x", due_at=time.time() + 60)])
    assert worker._is_drained(5)
    assert not worker._is_drained(600)
    spool.put([Mail(id="1" * 32, payload=b"x")])
    assert not worker._is_drained(5)
