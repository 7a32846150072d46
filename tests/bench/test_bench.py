"""The pieces of the bench that need neither peers nor Postfix: the long way, the server with TLS, and what is made of figures."""

from __future__ import annotations

import io
import os
import smtplib
import socket
import ssl
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from xml.etree import ElementTree as ET

import psutil
import pytest
import trustme
from rich.console import Console

from tests.bench import goals, plot, postfix, receiver, report
from tests.bench.__main__ import _order
from tests.bench.child import Child, ChildError
from tests.bench.drain import drained
from tests.bench.figures import Figures, Run, Spread, Value
from tests.bench.receiver import SmtpSink
from tests.bench.scenario import CELERY_EMAIL, LOOP, OURS, SCENARIOS, THREADS
from tests.processes import eventually

SECONDS = 0.02
_PATIENCE = 30.0


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.settimeout(_PATIENCE)
        yield listener


@pytest.fixture
def away(server: socket.socket, tmp_path: Path) -> Iterator[int]:
    with receiver.far(server.getsockname()[1], tmp_path, SECONDS) as port:
        yield port


def _pair(away: int, server: socket.socket) -> tuple[socket.socket, socket.socket]:
    near = socket.create_connection(("127.0.0.1", away), _PATIENCE)
    far, _ = server.accept()
    far.settimeout(_PATIENCE)
    return near, far


def _received(sock: socket.socket, size: int) -> bytes:
    parts = []
    while size and (data := sock.recv(min(size, 1 << 20))):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


@pytest.mark.integration
def test_each_round_trip_takes_as_long_as_it_is_far(away: int, server: socket.socket) -> None:
    near, far = _pair(away, server)
    with near, far:
        for _ in range(5):
            began = time.monotonic()
            near.sendall(b"ping")
            assert _received(far, 4) == b"ping"
            assert time.monotonic() - began >= SECONDS / 2
            far.sendall(b"pong")
            assert _received(near, 4) == b"pong"
            assert time.monotonic() - began >= SECONDS


@pytest.mark.integration
def test_any_number_of_bytes_may_be_on_their_way_and_come_in_order(away: int, server: socket.socket) -> None:
    near, far = _pair(away, server)
    content = os.urandom(10_000_000)
    with near, far:
        # Nobody reads at the other end meanwhile: a proxy that waited for its writer would take no more than sockets hold.
        near.sendall(content)
        assert _received(far, len(content)) == content


@pytest.mark.integration
def test_many_connections_are_apart_and_an_end_comes_after_the_last_bytes(away: int, server: socket.socket) -> None:
    pairs = []
    for number in range(20):
        near, far = _pair(away, server)
        near.sendall(b"%d" % number)
        pairs.append((near, far, b"%d" % number))
    for near, far, name in pairs:
        assert _received(far, len(name)) == name
        far.sendall(b"bye " + name)
        far.close()
        assert _received(near, 100) == b"bye " + name
        near.close()


@pytest.mark.integration
def test_a_server_that_refuses_is_told_to_the_client(away: int, server: socket.socket) -> None:
    server.close()
    with socket.create_connection(("127.0.0.1", away), _PATIENCE) as near:
        assert near.recv(1) == b""


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[receiver.TlsServer, ssl.SSLContext]]:
    authority = trustme.CA()
    certificate = tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with receiver.tls_server(tmp_path, certificate) as found:
        yield found, context


@pytest.mark.integration
def test_the_server_with_tls_takes_mail_from_who_has_logged_in_and_counts_it(
    tls: tuple[receiver.TlsServer, ssl.SSLContext],
) -> None:
    found, context = tls
    with smtplib.SMTP("127.0.0.1", found.port, timeout=_PATIENCE) as smtp:
        with pytest.raises(smtplib.SMTPSenderRefused, match="530"):
            smtp.sendmail("a@example.com", ["b@example.com"], b"too early")
        smtp.starttls(context=context)
        with pytest.raises(smtplib.SMTPSenderRefused, match="530"):
            smtp.sendmail("a@example.com", ["b@example.com"], b"still too early")
        smtp.login("user", "password")
        for _ in range(3):
            smtp.sendmail("a@example.com", ["b@example.com"], b"Subject: x\r\n\r\n.\r\n..\r\nlast\r\n")
        assert found.count() == 3
    with smtplib.SMTP("127.0.0.1", found.port, timeout=_PATIENCE) as smtp:
        smtp.starttls(context=context)
        smtp.user, smtp.password = "user", "password"
        smtp.auth("LOGIN", smtp.auth_login, initial_response_ok=False)
        smtp.mail("a@example.com")
        smtp.rcpt("b@example.com")
        smtp.data(b"")
    assert found.count() == 4


@pytest.mark.integration
def test_the_server_with_tls_answers_what_comes_in_one_piece_or_in_many(
    tls: tuple[receiver.TlsServer, ssl.SSLContext],
) -> None:
    found, context = tls
    commands = (
        b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n"
        b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.com>\r\nDATA\r\n.\r\nQUIT\r\n"
    )
    for size in (1, 7, len(commands)):
        with smtplib.SMTP("127.0.0.1", found.port, timeout=_PATIENCE) as smtp:
            smtp.starttls(context=context)
            smtp.login("user", "password")
            assert smtp.sock is not None
            for start in range(0, len(commands), size):
                smtp.sock.sendall(commands[start : start + size])
            codes = [smtp.getreply()[0] for _ in range(9)]
            assert codes == [250, 250, 354, 250, 250, 250, 354, 250, 221]
            smtp.close()
    assert found.count() == 6


def _is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.integration
def test_a_child_is_ended_with_what_it_started_and_its_tree_is_what_is_measured(tmp_path: Path) -> None:
    busy = "import time\nends = time.process_time() + 0.2\nwhile time.process_time() < ends: pass\n"
    waits = (
        "import subprocess, sys\none = subprocess.Popen([sys.executable, '-c', sys.argv[1]], start_new_session=True)\n"
    )
    said = "print('started', one.pid, flush=True)\none.wait()"
    with Child([sys.executable, "-c", waits + said, busy + "time.sleep(600)"], {}, tmp_path / "log") as child:
        pid = int(child.wait_for(r"started (\d+)")[1])
        eventually(lambda: child.cpu() >= 0.2, "the CPU of the child's child")
        assert child.memory() > psutil.Process(pid).memory_full_info().pss
    # Its new parent, and nobody here, hears of its end.
    eventually(lambda: _is_gone(pid), "the end of the child's child")
    with Child([sys.executable, "-c", "raise SystemExit('broken')"], {}, tmp_path / "log") as child:
        with pytest.raises(ChildError, match="broken"):
            child.wait_for("never")
        with pytest.raises(ChildError, match="ended with 1"):
            child.wait(_PATIENCE)


class _Counting:
    """A receiver that has one mail more at each look, up to a number."""

    port = 0
    name = ""

    def __init__(self, most: int) -> None:
        self._most = most
        self._looks = count(1)

    def count(self) -> int:
        return min(next(self._looks), self._most)


@pytest.mark.integration
def test_a_rate_is_taken_between_a_tenth_and_nearly_all(tmp_path: Path) -> None:
    with Child([sys.executable, "-c", "import time; time.sleep(600)"], {}, tmp_path / "log") as child:
        found = drained(child, _Counting(40), 40)
    assert found.rate == pytest.approx(34 / found.seconds)
    # Each look is at least a hundredth of a second after the last.
    assert found.seconds >= 0.34
    assert found.memory_mb > 1


@pytest.mark.integration
def test_a_run_that_ends_too_early_is_no_run(tmp_path: Path) -> None:
    with Child([sys.executable, "-c", "print('gave up')"], {}, tmp_path / "log") as child:
        child.wait(_PATIENCE)
        with pytest.raises(ChildError, match=r"ended after 5 of 40 mails(.|\n)*gave up"):
            drained(child, _Counting(5), 40)


def test_what_smtp_sink_says_of_itself_is_read_from_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"")
    sink = SmtpSink(0, log)
    assert sink.count() == 0
    said = b"".join(b"sess=1 quit=0 mesg=%d\r" % number for number in range(2000))
    log.write_bytes(said + b"sess=1 quit=1 mesg=20")
    assert sink.count() == 1999


def _programs(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in ("smtp-sink", "smtp-source"):
        (folder / name).touch()
    return folder


def test_smtp_sink_is_found_where_it_is_said_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = _programs(tmp_path / "usr" / "sbin")
    (tmp_path / "usr" / "lib" / "postfix").mkdir(parents=True)
    for folder in (tmp_path, programs):
        monkeypatch.setenv(postfix.VARIABLE, str(folder))
        found = postfix.find()
        assert found.sink == programs / "smtp-sink"
        assert found.env == {"LD_LIBRARY_PATH": str(tmp_path / "usr" / "lib" / "postfix")}
    monkeypatch.setenv(postfix.VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(postfix.PostfixMissingError, match="there is no smtp-sink and smtp-source in it"):
        postfix.find()


def test_without_smtp_sink_and_apt_one_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(postfix.VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("tests.bench.postfix.shutil.which", lambda program, path=None: None)
    with pytest.raises(postfix.PostfixMissingError, match="without apt-get it cannot be had here: install Postfix"):
        postfix.find()
    _programs(tmp_path / "mailworker-bench" / "postfix" / "usr" / "sbin")
    assert postfix.find().env == {}


def _label(scenario: str, contender: str) -> str:
    entries = next(each.entries for each in SCENARIOS if each.name == scenario)
    return next(entry.label for entry in entries if entry.contender == contender)


def _figures() -> Figures:
    """Return three rounds of singles in which we are 12, 8 and 11 times as fast, and one of the loop that failed."""
    figures = Figures()
    for number, (ours, theirs) in enumerate([(1200.0, 100.0), (1600.0, 200.0), (1100.0, 100.0)]):
        for contender, rate, cpu in ((OURS, ours, 100.0), (CELERY_EMAIL, theirs, 900.0)):
            label = _label("singles", contender)
            values = {"rate": rate, "cpu_us": cpu}
            figures.add(Run(scenario="singles", entry=label, round=number, redis="none", count=9000, values=values))
    failed = Run(
        scenario="singles", entry=_label("singles", LOOP), round=0, redis="not used", count=5, failure="<broke>"
    )
    figures.add(failed)
    return figures


def test_ratios_are_of_rounds_and_a_median_has_its_range() -> None:
    figures = _figures()
    ours, theirs = (Value("singles", _label("singles", name), "rate") for name in (OURS, CELERY_EMAIL))
    assert figures.value(ours) == Spread(1200, 1100, 1600, 3)
    assert figures.ratio(ours, theirs) == Spread(11, 8, 12, 3)
    assert figures.ratio(ours, Value("singles", _label("singles", LOOP), "rate")) is None
    assert figures.value(Value("mass", OURS, "rate")) is None
    medians = figures.plain()["medians"]["singles"]
    assert medians[theirs.entry]["cpu_us"]["median"] == 900
    assert _label("singles", LOOP) not in medians


def test_a_goal_is_reached_by_its_median_or_was_not_measured() -> None:
    said = {
        (verdict.goal.title, verdict.goal.beside): (verdict.goal.wanted, verdict.is_reached)
        for verdict in goals.verdicts(_figures())
    }
    assert said["Single messages drained", CELERY_EMAIL] == (">= 10", True)
    assert said["CPU per message in the worker", CELERY_EMAIL] == ("<= 1/8", True)
    assert said["Single messages drained", LOOP] == (">= 1", None)
    assert said["send_mass_mail drained", CELERY_EMAIL] == (">= 4", None)
    slow = Figures([])
    for contender, rate in ((OURS, 9.0), (CELERY_EMAIL, 1.0)):
        label = _label("singles", contender)
        slow.add(Run(scenario="singles", entry=label, round=0, redis="none", count=1, values={"rate": rate}))
    assert goals.verdicts(slow)[0].is_reached is False
    assert goals.verdicts(slow)[0].plain()["ratio"]["median"] == 9


def test_the_tables_show_medians_ranges_redis_and_failures() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    figures = _figures()
    label = _label("singles", CELERY_EMAIL)
    console.print(report.scenario(figures, "singles", "Singles", {label: "with a note"}))
    console.print(report.goals(goals.verdicts(figures)))
    text = console.export_text()
    for words in ("1,200", "1,100-1,600", f"{label}, with a note", "8.00-12.0", "1 of 1 rounds failed"):
        assert words in text
    assert all(word in text for word in ("none", "not used", "9,000", "not measured", ">= 10", "1/9.00"))
    assert report.failures(figures) == [f"singles, {_label('singles', LOOP)}, round 1: <broke>"]


def test_the_picture_has_a_bar_for_each_median_and_no_panel_for_nothing() -> None:
    figures = _figures()
    for entry, rate in ((THREADS.label, 700.0), ("a <new> one", 2.0)):
        figures.add(Run(scenario="far", entry=entry, round=0, redis="none", count=1, values={"rate": rate}))
    drawn = plot.drawn(figures, OURS, "ours & theirs", "here")
    tree = ET.fromstring(drawn)
    texts = ["".join(each.itertext()) for each in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert {"ours & theirs", "a <new> one", "1,200", "2.0", "900", THREADS.label} <= set(texts)
    assert not any("attached" in text for text in texts)
    kinds = [each.get("class") for each in tree.iter("{http://www.w3.org/2000/svg}rect")]
    # Rates and CPU of singles, and a panel for one connection and one for sixteen.
    assert (kinds.count("ours"), kinds.count("theirs")) == (3, 3)
    assert "prefers-color-scheme: dark" in drawn


def test_who_came_first_comes_last_in_the_next_round() -> None:
    entries = SCENARIOS[0].entries
    assert list(_order(entries, 0)) == list(entries)
    assert list(_order(entries, 1)) == list(reversed(entries))
    assert list(_order(entries, 2)) == list(entries)


def test_labels_are_unique_in_a_scenario_and_each_goal_has_both_its_entries() -> None:
    known = set()
    for scenario in SCENARIOS:
        labels = [entry.label for entry in scenario.entries]
        assert len(labels) == len(set(labels))
        known |= {(scenario.name, label) for label in labels}
    for goal in goals.GOALS:
        assert {(which.scenario, which.entry) for which in (goal.over, goal.under)} <= known
