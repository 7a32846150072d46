from __future__ import annotations

import json
import smtplib
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner

import mailworker
from mailworker import settings
from mailworker.cli import main
from mailworker.lane import LANES
from mailworker.queue import eager
from tests.cli.conftest import ACCEPTED, REJECTED
from tests.processes import PATIENCE, clean_environment, free_port

TO = ["--to", "ann@example.com", "--subject", "Hello"]


@pytest.fixture
def outbox():
    """Deliver in this process, into the outbox, through everything but a broker."""
    values = {
        "MAILWORKER_TASK_ALWAYS_EAGER": True,
        "EMAIL_DELIVERY_BACKEND": "mailworker.mail.backends.locmem.EmailBackend",
        "EMAIL_BACKEND": settings.QUEUE_BACKEND,
    }
    with settings.override(**values):
        eager.reset()
        mailworker.outbox.clear()
        yield mailworker.outbox
        mailworker.outbox.clear()
        eager.reset()


def send(*args: str, stdin: str | bytes | None = None):
    return CliRunner().invoke(main, ["send", *args], input=stdin)


def test_it_queues_one_mail_and_prints_its_id(outbox):
    result = send(*TO, "--body", "It works.")
    assert result.exit_code == 0, result.output
    assert len(result.output.strip()) == 32
    (mail,) = outbox
    assert (mail.subject, mail.body, mail.to) == ("Hello", "It works.", ["ann@example.com"])


def test_the_text_comes_from_standard_input(outbox):
    assert send(*TO, stdin="Grüße\n").exit_code == 0
    assert outbox[0].body == "Grüße\n"


def test_everything_that_can_be_said_of_a_mail_arrives_in_it(outbox, tmp_path):
    (tmp_path / "page.html").write_text("<p>ü</p>", encoding="utf-8")
    (tmp_path / "report.csv").write_bytes(b"1;2\n")
    result = send(
        *TO, "--body", "x", "--from", "Bob <bob@example.com>", "--cc", "c@example.com", "--bcc", "d@example.com",
        "--reply-to", "e@example.com", "--header", "X-Campaign=a=b", "--html", str(tmp_path / "page.html"),
        "--attach", str(tmp_path / "report.csv"),
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    message = outbox[0].message()
    assert (message["From"], message["Cc"], message["Reply-To"]) == (
        "Bob <bob@example.com>",
        "c@example.com",
        "e@example.com",
    )
    assert message["X-Campaign"] == "a=b"
    assert not any("d@example.com" in value for name, value in message.items() if name != "Message-ID")
    assert "d@example.com" in outbox[0].recipients()
    assert {"text/plain", "text/html", "text/csv"} <= {part.get_content_type() for part in message.walk()}
    assert "report.csv" in [part.get_filename() for part in message.walk()]


@pytest.mark.parametrize("when", [["--delay", "1h"], ["--at", "2100-01-01T00:00Z"]])
def test_a_mail_for_later_waits(outbox, when):
    result = send(*TO, "--body", "x", *when, "--json")
    shown = json.loads(result.output)
    assert outbox == []
    status = mailworker.status(shown["id"])
    assert status is not None
    assert status.next_attempt_at is not None
    due = datetime.fromisoformat(shown["due_at"])
    assert abs(status.next_attempt_at - due.timestamp()) < 60
    assert due > datetime.now(UTC) + timedelta(minutes=59)


def test_lane_and_expiry_reach_the_queue(outbox):
    shown = json.loads(send(*TO, "--body", "x", "--lane", "high", "--delay", "1h", "--expires", "2h", "--json").output)
    status = mailworker.status(shown["id"])
    assert status is not None
    assert (status.lane, shown["lane"]) == ("high", "high")
    assert status.expires_at is not None
    assert abs(status.expires_at - status.created_at - 7200) < 60


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--subject", "x"], "--to"),
        ([*TO, "--body", "x", "--at", "2100-01-01", "--delay", "1h"], "keep one"),
        ([*TO, "--body", "x", "--at", "tomorrow"], "2026-12-24T18:00"),
        ([*TO, "--body", "x", "--delay", "soon"], "10m"),
        ([*TO, "--body", "x", "--expires", "never"], "2h"),
        ([*TO, "--body", "x", "--expires", "0"], "'0' is over at once"),
        ([*TO, "--body", "x", "--delay", "2h", "--expires", "1h"], "never be sent"),
        ([*TO, "--body", "x", "--lane", "fast"], "high"),
        ([*TO, "--body", "x", "--header", "nonsense"], "NAME=VALUE"),
        ([*TO, "--body", "x", "--header", "X-A=1", "--header", "x-a=2"], "twice"),
        (["--to", " ", "--body", "x"], "--to"),
        ([*TO, "--bcc", "", "--body", "x"], "--bcc is empty"),
        ([*TO, "--body", "x", "--using", "nosuch"], "known mailers are default, relay"),
        ([*TO, "--body", "x", "--attach", "/nonexistent"], "/nonexistent"),
        (["--to", "a@example.com", "--subject", "a\nBcc: b@example.com", "--body", "x"], "ubject"),
    ],
)
def test_a_mistake_in_what_was_typed_is_wrong_usage_in_one_sentence(outbox, args, said):
    result = send(*args)
    assert result.exit_code == 2, result.output
    assert said in result.output
    assert "Traceback" not in result.output
    assert outbox == []


def test_standard_input_that_is_no_text_is_wrong_usage(outbox):
    result = send(*TO, stdin=b"\xff\xfe\x00")
    assert result.exit_code == 2
    assert "UTF-8" in result.output


def test_a_closed_standard_input_is_wrong_usage():
    command = f"{sys.executable} -m mailworker send --to a@example.com <&-"
    done = subprocess.run(
        ["sh", "-c", command], env=clean_environment(), capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 2
    assert "Standard input is closed" in done.stderr


@pytest.mark.parametrize("front", [settings.QUEUE_BACKEND, settings.backend_path("console")])
@pytest.mark.parametrize("name", ["EMAIL_BACKEND", "EMAIL_DELIVERY_BACKEND"])
def test_a_backend_that_is_not_there_is_found_before_anything_is_queued(name, front):
    values = {"EMAIL_BACKEND": front, name: "no.such.Backend"}
    with settings.override(**values):
        result = send(*TO, "--body", "x")
    assert result.exit_code == 1
    assert f"{name} is 'no.such.Backend'" in result.output


@pytest.mark.parametrize("first_line", ["import nosuchlibrary", "raise RuntimeError('no framework is set up here')"])
def test_a_backend_whose_needs_are_with_the_worker_only_is_no_reason_to_refuse(first_line, tmp_path, monkeypatch):
    (tmp_path / "far_away.py").write_text(f"{first_line}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    # With a time to wait for, so that nothing is delivered in this process.
    with settings.override(
        MAILWORKER_TASK_ALWAYS_EAGER=True,
        EMAIL_BACKEND=settings.QUEUE_BACKEND,
        EMAIL_DELIVERY_BACKEND="far_away.Backend",
    ):
        eager.reset()
        result = send(*TO, "--body", "x", "--delay", "1h")
        eager.reset()
    assert result.exit_code == 0, result.output


def test_a_broker_that_ends_with_this_process_takes_no_mail():
    with settings.override(MAILWORKER_BROKER_URL="memory://", EMAIL_BACKEND=settings.QUEUE_BACKEND):
        result = send(*TO, "--body", "x")
    assert result.exit_code == 1
    assert "lives in one process" in result.output


@pytest.mark.parametrize(("spool", "named"), [(None, "MAILWORKER_SPOOL_URL"), ("", "MAILWORKER_BROKER_URL")])
def test_a_queue_that_is_not_there_is_a_failure_in_one_sentence(spool, named):
    values = {
        "MAILWORKER_BROKER_URL": f"redis://:hidden@127.0.0.1:{free_port()}/0",
        "EMAIL_BACKEND": settings.QUEUE_BACKEND,
        **({} if spool is None else {"MAILWORKER_SPOOL_URL": spool}),
    }
    with settings.override(**values):
        result = send(*TO, "--body", "x")
    assert result.exit_code == 1
    assert named in result.output
    assert "hidden" not in result.output


def test_a_relay_that_refuses_in_eager_mode_is_a_failure(outbox):
    with settings.override(
        EMAIL_DELIVERY_BACKEND=settings.SMTP_BACKEND, EMAIL_HOST="127.0.0.1", EMAIL_PORT=free_port()
    ):
        result = send(*TO, "--body", "x")
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert not isinstance(result.exception, smtplib.SMTPException)


@pytest.mark.integration
def test_one_key_is_one_mail_and_its_group_is_known(spooled):
    ids = {send(*TO, "--body", "x", "--key", "order-1", "--group", "orders").output.strip() for _ in range(3)}
    assert len(ids) == 1
    assert mailworker.status_of_group("orders") == {"due": 1}


@pytest.mark.integration
@pytest.mark.parametrize("option", ["--key", "--group", "--wait"])
def test_what_needs_the_spool_is_refused_without_one(spooled, option):
    with settings.override(MAILWORKER_SPOOL_URL="", MAILERS={}):
        result = send(*TO, "--body", "x", option, "5")
    assert result.exit_code == (2 if option == "--wait" else 1)
    assert f"{option.strip('-')}" in result.output
    assert "set MAILWORKER_SPOOL_URL to a Redis" in result.output


class Relay(threading.Thread):
    """A worker of one mail: claims it when it comes, and ends it as it is told."""

    def __init__(self, spooled, end) -> None:
        super().__init__(daemon=True)
        self._spooled, self._end = spooled, end

    def run(self) -> None:
        spool = self._spooled.spool
        gives_up_at = time.monotonic() + PATIENCE
        while time.monotonic() < gives_up_at:
            for leased in spool.claim(LANES, 1, 60).leased:
                spool.mark(leased, 60)
                self._end(spool, leased)
                return


@pytest.mark.integration
@pytest.mark.parametrize(
    ("end", "status", "said"),
    [
        (lambda spool, leased: spool.done(leased, {"ann@example.com": ACCEPTED}), 0, ""),
        (
            lambda spool, leased: spool.bury(leased, {"ann@example.com": REJECTED}, "rejected"),
            1,
            "is dead: rejected\n  ann@example.com  rejected  550 5.1.1  No such user here",
        ),
        (lambda spool, leased: spool.hold(leased, {}, "in doubt"), 1, "is held: in doubt"),
    ],
)
def test_it_waits_for_what_becomes_of_the_mail(spooled, end, status, said):
    worker = Relay(spooled, end)
    worker.start()
    result = send(*TO, "--body", "x", "--wait")
    worker.join(PATIENCE)
    assert result.exit_code == status, result.output
    assert len(result.stdout.strip()) == 32
    assert said in result.stderr


@pytest.mark.integration
def test_a_mail_that_is_not_sent_in_time_is_a_failure_and_stays_queued(spooled):
    result = send(*TO, "--body", "x", "--delay", "1h", "--wait", "0")
    assert result.exit_code == 1
    assert "not sent within 0 s, and still due; the next attempt is at " in result.stderr
    assert spooled.state(result.stdout.strip()) == "due"
