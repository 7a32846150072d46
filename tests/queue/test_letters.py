"""Rows of a bulk in a worker: real letters and lists, a spool in memory, and the pipeline of a worker."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

import mailworker
from mailworker import EmailMessage, settings
from mailworker.lane import Lane
from mailworker.mail import unsubscribe
from mailworker.mail.bulk_note import BulkNote
from mailworker.mail.letter import Letter, RowCheck, write_row
from mailworker.mail.sealing import Sealer
from mailworker.outcome import Outcome, OutcomeClass, Reply
from mailworker.queue import runtime
from mailworker.spool.bulk import Bulk, BulkGate, Plan, Row
from mailworker.spool.memory import MemorySpool
from mailworker.spool.record import State

START = 1_700_000_000.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "news.subject.txt").write_text("News for {{ name }}")
    (tmp_path / "news.txt").write_text("Dear {{ name }}, to get no more: {{ unsubscribe_url }}\n")
    return tmp_path


@pytest.fixture(autouse=True)
def configured(folder: Path) -> Iterator[None]:
    with settings.override(
        MAILWORKER_TEMPLATES=[str(folder)],
        EMAIL_DELIVERY_BACKEND="mailworker.mail.backends.locmem.EmailBackend",
        DEFAULT_FROM_EMAIL="shop@example.com",
        MAILWORKER_UNSUBSCRIBE_URL="https://example.com/u/{token}",
        MAILWORKER_UNSUBSCRIBE_KEYS=["a key of sixteen letters"],
    ):
        mailworker.outbox.clear()
        yield
        runtime.close()


class Work:
    """A bulk in a spool, and a worker's pipeline."""

    def __init__(self, *, note: BulkNote | None = None, sealer: Sealer | None = None) -> None:
        self.now = START
        self.sealer = sealer or Sealer(())
        self.spool = MemorySpool(lambda: self.now)
        self.letter = Letter.load("news")
        self.note = note or BulkNote()

    def begin(self, name: str = "spring") -> None:
        payload, digest = self.letter.encode(self.sealer), self.letter.digest
        self.spool.bulks.begin(Plan(name=name, letter=payload, letter_digest=digest, note=self.note.encode()))

    def put(self, *rows: dict[str, Any], name: str = "spring") -> None:
        self.begin(name)
        check = RowCheck(self.letter, None)
        some = [
            Row(f"{name}-{place:020d}", write_row(self.letter, row, self.sealer), check.check(row).domain)
            for place, row in enumerate(rows)
        ]
        assert self.spool.bulks.put(name, some).new == len(rows)
        self.spool.bulks.end(name)
        self.now += 1

    def run(self) -> list[EmailMessage]:
        """Deliver what is due and return what was sent."""
        mailworker.outbox.clear()
        runtime.current().pipeline(self.spool, lambda: False).run()
        return list(mailworker.outbox)

    @property
    def bulk(self) -> Bulk:
        bulk = self.spool.bulks.get("spring")
        assert bulk is not None
        return bulk


ANN = {"email": "Ann <ann@example.com>", "name": "Ann"}
BOB = {"email": "bob@example.org", "name": "Bob"}


def test_each_row_is_a_message_of_its_own():
    work = Work()
    work.put(ANN, BOB)
    ann, bob = work.run()
    assert (ann.subject, ann.to, bob.subject, bob.to) == (
        "News for Ann",
        ["Ann <ann@example.com>"],
        "News for Bob",
        ["bob@example.org"],
    )
    rendered = ann.message()
    assert rendered["Precedence"] == "bulk"
    assert rendered["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = "".join(rendered["List-Unsubscribe"].split()).strip("<>")
    assert link in ann.body
    wanted = unsubscribe.verify(link.removeprefix("https://example.com/u/"))
    assert (wanted.address, wanted.bulk) == ("ann@example.com", "spring")
    assert work.bulk.outcomes == {
        "example.com": {OutcomeClass.ACCEPTED: 1},
        "example.org": {OutcomeClass.ACCEPTED: 1},
    }


def test_each_attempt_is_the_same_message():
    work = Work()
    work.put(ANN)
    sent = []
    for _ in range(2):
        (leased,) = work.spool.claim([Lane.BULK], 1, 60.0).leased
        assert work.spool.mark(leased, 60.0)
        rows = runtime.current().letters.rows(lambda name: (work.letter.encode(work.sealer), ""), work.spool.now)
        mail = work.spool.get(leased.mail.id)
        assert mail is not None
        sent.append(rows.message(mail).message())
        busy = {"ann@example.com": Outcome(OutcomeClass.DEFERRED, Reply(450, "busy"))}
        assert work.spool.defer(leased, work.now + 3600, busy)
        work.now += 3600
    first, second = sent
    assert first["Message-ID"] == second["Message-ID"] == f"<spring-{0:020d}@example.com>"
    assert first["Date"] == second["Date"]
    assert datetime.strptime(first["Date"], "%a, %d %b %Y %H:%M:%S %z") == datetime.fromtimestamp(START + 1, UTC)


def test_who_was_suppressed_since_the_rows_were_queued_gets_nothing(folder: Path):
    work = Work()
    work.put(ANN, BOB)
    (folder / "list.txt").write_text("ann@example.com\n")
    with settings.override(MAILWORKER_SUPPRESSION=str(folder / "list.txt")):
        assert [message.to for message in work.run()] == [["bob@example.org"]]
    assert work.bulk.states == {State.DROPPED: 1, State.SENT: 1}


def test_the_list_of_the_bulk_alone_counts_as_well(folder: Path):
    listed = folder / "own.txt"
    listed.write_text("example.org\n")
    work = Work(note=BulkNote(suppress=str(listed)))
    work.put(ANN, BOB)
    assert [message.to for message in work.run()] == [["Ann <ann@example.com>"]]


def test_a_list_that_cannot_be_read_holds_the_bulk_back_and_loses_nothing(folder: Path):
    listed = folder / "own.txt"
    listed.write_text("example.net\n")
    work = Work(note=BulkNote(suppress=str(listed)))
    work.put(ANN, BOB)
    listed.rename(folder / "elsewhere.txt")
    assert work.run() == []
    assert work.bulk.gate is BulkGate.PAUSED
    assert "own.txt" in work.bulk.reason
    assert work.bulk.states == {State.DUE: 2}
    (folder / "elsewhere.txt").rename(listed)
    work.spool.resume_group("spring")
    assert len(work.run()) == 2


def test_a_change_of_the_templates_changes_nothing_of_a_bulk_that_is_under_way(folder: Path):
    work = Work()
    work.put(ANN)
    (folder / "news.subject.txt").unlink()
    (folder / "news.txt").write_text("Something else")
    (ann,) = work.run()
    assert ann.subject == "News for Ann"


def test_a_row_of_another_letter_is_a_dead_letter():
    work = Work()
    work.begin()
    other = Letter.load("news", from_email="other@example.com")
    work.spool.bulks.put("spring", [Row("a" * 32, write_row(other, ANN, work.sealer), "example.com")])
    work.spool.bulks.end("spring")
    work.now += 1
    assert work.run() == []
    status = work.spool.status("a" * 32)
    assert status is not None
    assert (status.state, status.reason) == (State.DEAD, "it is a row of another letter than its bulk has")


def test_a_damaged_row_is_a_dead_letter_and_the_next_one_goes():
    work = Work()
    work.begin()
    fine = write_row(work.letter, BOB, work.sealer)
    work.spool.bulks.put("spring", [Row("a" * 32, fine[:-3], "example.com"), Row("b" * 32, fine, "example.org")])
    work.spool.bulks.end("spring")
    work.now += 1
    assert [message.to for message in work.run()] == [["bob@example.org"]]
    status = work.spool.status("a" * 32)
    assert status is not None
    assert status.state is State.DEAD
    assert "damaged" in status.reason


def test_two_bulks_that_take_turns_keep_their_letters(folder: Path):
    work = Work()
    work.put(ANN, BOB)
    (folder / "news.subject.txt").write_text("Autumn")
    work.letter = Letter.load("news", from_email="autumn@example.com")
    work.put(ANN, BOB, name="autumn")
    subjects = sorted((message.subject, message.from_email) for message in work.run())
    assert subjects == [
        ("Autumn", "autumn@example.com"),
        ("Autumn", "autumn@example.com"),
        ("News for Ann", "shop@example.com"),
        ("News for Bob", "shop@example.com"),
    ]


def test_a_bulk_of_the_same_name_with_another_letter_is_sent_by_that_one():
    work = Work()
    work.put(ANN)
    assert len(work.run()) == 1
    # The first one is forgotten, by a person who has deleted it, say.
    work.spool = MemorySpool(lambda: work.now)
    work.letter = Letter.load("news", from_email="other@example.com")
    work.put(ANN)
    assert [message.from_email for message in work.run()] == ["other@example.com"]


def test_with_keys_letter_and_rows_are_sealed_and_sent_all_the_same():
    key = Fernet.generate_key()
    with settings.override(MAILWORKER_ENCRYPTION_KEYS=[key.decode()]):
        work = Work(sealer=Sealer([key]))
        work.put(ANN)
        payload = next(payload for _, payload in work.spool.bulks.mails("spring"))
        assert b"ann@" not in payload
        assert b"Dear" not in (work.spool.bulks.letter("spring") or b"")
        (ann,) = work.run()
        assert ann.subject == "News for Ann"


def test_a_worker_without_the_key_holds_the_bulk_back_and_buries_nothing():
    work = Work(sealer=Sealer([Fernet.generate_key()]))
    work.put(ANN, BOB)
    assert work.run() == []
    assert work.bulk.gate is BulkGate.PAUSED
    assert work.bulk.states == {State.DUE: 2}


def test_a_worker_that_cannot_sign_links_holds_the_bulk_back():
    work = Work()
    work.put(ANN)
    with settings.override(MAILWORKER_UNSUBSCRIBE_KEYS=[], MAILWORKER_UNSUBSCRIBE_URL=None):
        assert work.run() == []
    assert work.bulk.gate is BulkGate.PAUSED
    assert "MAILWORKER_UNSUBSCRIBE_KEYS" in work.bulk.reason
