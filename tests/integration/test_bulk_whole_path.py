"""A bulk from its list to its report, with real workers: who gets it, who does not, and what stops it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mailworker import bulk, send_mail, settings
from mailworker.spool.bulk import Bulk, BulkGate
from mailworker.spool.record import State
from mailworker.testing.script import Command
from mailworker.testing.smtpd import ScriptedServer
from tests.bulk.conftest import TEMPLATES
from tests.integration.conftest import Broker
from tests.integration.spool_mails import copies
from tests.processes import Worker, clean_environment, eventually

pytestmark = pytest.mark.integration

KEYS = "k" * 20


@pytest.fixture
def known(spool: Broker, tmp_path: Path) -> dict[str, str]:
    """Templates and settings that the producer has; returns those that a worker needs. It has no templates."""
    for name, text in TEMPLATES.items():
        (tmp_path / name).write_text(text)
    shared = {
        "MAILWORKER_UNSUBSCRIBE_URL": "https://example.com/u/{token}",
        "MAILWORKER_UNSUBSCRIBE_KEYS": KEYS,
        "MAILWORKER_SUPPRESSION": str(tmp_path / "gone.txt"),
    }
    (tmp_path / "gone.txt").write_text("nobody@example.com\n")
    return shared


@pytest.fixture
def asked(known: dict[str, str], tmp_path: Path):
    with settings.override(
        **known,
        MAILWORKER_TEMPLATES=[tmp_path],
        DEFAULT_FROM_EMAIL="News <news@example.com>",
        EMAIL_BACKEND=settings.QUEUE_BACKEND,
    ):
        yield tmp_path


def rows(number: int) -> list[dict[str, str]]:
    return [{"email": f"user{n}@d{n % 4}.example", "name": f"User {n}"} for n in range(number)]


def ended(name: str = "news-1") -> Bulk:
    eventually(lambda: not bulk.show(name).left, "the end of the bulk")
    return bulk.show(name)


def refusing(domain: str) -> Callable[[Command], Any]:
    def answer(command: Command) -> Any:
        return "550 5.1.1 no such user" if domain in command.line else "250 2.1.5 OK"

    return answer


def test_each_recipient_gets_its_own_mail_once_and_the_report_proves_it(
    asked: Path, known: dict[str, str], spool: Broker, relay: ScriptedServer, start_worker: Callable[..., Worker]
) -> None:
    relay.script(rcpt=refusing("@d3.example"))
    start_worker(spool, **known)
    filled = bulk.send("news-1", "news", [*rows(400), *rows(10)], suppress=["d2.example"], max_bounces=None)
    assert (filled.new, filled.duplicates, filled.suppressed) == (300, 10, 100)
    stands = ended()
    assert stands.states == {State.SENT: 200, State.DEAD: 100, State.DROPPED: 100}
    wanted = Counter(row["email"] for row in rows(400) if row["email"].endswith(("d0.example", "d1.example")))
    assert copies(relay) == wanted
    (one,) = [message.parsed for message in relay.messages if message.to == ["user5@d1.example"]]
    assert (one["Subject"], one["From"], one["Precedence"]) == ("News for User 5", "News <news@example.com>", "bulk")
    link = one["List-Unsubscribe"].strip("<>")
    found = bulk.verify_unsubscribe(link.rpartition("/")[2])
    assert (found.address, found.bulk) == ("user5@d1.example", "news-1")
    outcomes = {line.recipient: (line.state, line.outcome, line.code) for line in bulk.report("news-1")}
    assert len(outcomes) == 400
    for n in range(400):
        expected = [("sent", "accepted", 250)] * 2 + [("dropped", "", None), ("dead", "rejected", 550)]
        assert outcomes[f"user{n}@d{n % 4}.example"] == expected[n % 4]
    # What is mended is tried again, and nobody gets a second one.
    relay.script()
    assert bulk.retry_failed("news-1") == 100
    ended()
    assert copies(relay) == wanted + Counter(row["email"] for row in rows(400) if row["email"].endswith("d3.example"))


def test_who_wants_no_more_mail_after_the_start_gets_none(
    asked: Path, known: dict[str, str], spool: Broker, relay: ScriptedServer, start_worker: Callable[..., Worker]
) -> None:
    own = asked / "own.txt"
    own.write_text("")
    start_worker(spool, **known)
    bulk.send("news-1", "news", rows(8), suppress=own, delay=1)
    (asked / "gone.txt").write_text("nobody@example.com\nuser1@d1.example\n")
    own.write_text("d2.example\n")
    stands = ended()
    assert stands.states == {State.SENT: 5, State.DROPPED: 3}
    assert not {"user1@d1.example", "user2@d2.example", "user6@d2.example"} & set(copies(relay))


def test_a_list_that_cannot_be_read_when_a_mail_is_due_pauses_the_bulk(
    asked: Path, known: dict[str, str], spool: Broker, relay: ScriptedServer, start_worker: Callable[..., Worker]
) -> None:
    bulk.send("news-1", "news", rows(8))
    (asked / "gone.txt").unlink()
    start_worker(spool, **known)
    eventually(lambda: bulk.show("news-1").gate is BulkGate.PAUSED, "the pause")
    assert "gone.txt cannot be read" in bulk.show("news-1").reason
    assert not copies(relay)
    (asked / "gone.txt").write_text("")
    bulk.resume("news-1")
    assert ended().states == {State.SENT: 8}
    assert sum(copies(relay).values()) == 8


def test_a_bulk_whose_mails_are_rejected_pauses_by_itself_and_other_mail_goes_on(
    asked: Path, known: dict[str, str], spool: Broker, relay: ScriptedServer, start_worker: Callable[..., Worker]
) -> None:
    relay.script(rcpt=refusing("@d"))
    start_worker(spool, **known)
    bulk.send("news-1", "news", rows(1000), max_bounces=0.05)
    eventually(lambda: bulk.show("news-1").gate is BulkGate.PAUSED, "the pause")
    stands = bulk.show("news-1")
    assert stands.has_stopped_itself
    assert stands.states[State.DUE] > 500
    send_mail("Your password", "b", "office@example.com", ["ann@example.com"])
    eventually(lambda: copies(relay) == {"ann@example.com": 1}, "the other mail")


def test_the_commands_start_it_and_tell_of_its_end(
    asked: Path, known: dict[str, str], spool: Broker, relay: ScriptedServer, start_worker: Callable[..., Worker]
) -> None:
    start_worker(spool, **known)
    path = asked / "list.csv"
    path.write_text("email,name\n" + "".join(f"{row['email']},{row['name']}\n" for row in rows(100)))
    env = {
        **clean_environment(), **spool.settings, **known,
        "MAILWORKER_TEMPLATES": str(asked), "DEFAULT_FROM_EMAIL": "news@example.com",
    }  # fmt: skip

    def run(*args: str) -> str:
        command = [sys.executable, "-m", "mailworker", "bulk", *args]
        return subprocess.run(command, env=env, cwd=asked, capture_output=True, text=True, check=True).stdout

    assert run("start", "news-1", "news", "list.csv").startswith("100 rows: 100 mails queued")
    ended()
    found = json.loads(run("show", "news-1", "--json"))
    assert (found["phase"], found["outcomes"]["accepted"], found["domains"]["d1.example"]["accepted"]) == (
        "finished",
        100,
        25,
    )
    assert run("report", "news-1").count(",sent,accepted,250,") == 100
    assert copies(relay) == Counter(row["email"] for row in rows(100))
