"""The sink, spoken to by smtplib over a real socket, in a thread and in a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import smtplib
import subprocess
import sys
import threading
from email.message import EmailMessage
from pathlib import Path

import pytest

from mailworker.sink import Counts, Received, Sink, SinkError
from mailworker.sink.command import command

#: Seconds after which a wait for something that takes milliseconds has failed.
PATIENCE = 30


def a_message(subject: str = "Hello", body: str = "A line.\n") -> EmailMessage:
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = subject, "ann@example.com", "bob@example.com"
    message.set_content(body)
    return message


@contextlib.contextmanager
def client_of(sink: Sink):
    with smtplib.SMTP(sink.host, sink.port, local_hostname="test.localhost", timeout=PATIENCE) as client:
        yield client


@pytest.fixture
def received() -> list[Received]:
    return []


@pytest.fixture
def sink(received: list[Received]):
    with Sink(
        port=0, on_message=received.append, refuse=["gone*@example.com"], defer_once=["*@busy.example"], size_limit=9000
    ) as running:
        yield running


def test_a_mail_arrives_with_its_envelope_and_its_very_bytes(sink, received):
    content = b"Subject: dots\r\n\r\n.one dot\r\n..two dots\r\n.\xff\r\n"
    with client_of(sink) as client:
        client.sendmail("ann@example.com", ["bob@example.com", "Cid@Example.com"], content)
    assert received == [Received(1, "ann@example.com", ("bob@example.com", "Cid@Example.com"), content)]
    assert sink.counts == Counts(connections=1, messages=1, recipients=2)


def test_one_connection_may_bring_many_mails(sink, received):
    with client_of(sink) as client:
        for number in range(20):
            client.send_message(a_message(f"number {number}"))
    assert [mail.number for mail in received] == list(range(1, 21))
    assert sink.counts == Counts(connections=1, messages=20, recipients=20)


def test_the_null_sender_is_taken_and_shown_as_empty(sink, received):
    with client_of(sink) as client:
        client.sendmail("<>", ["bob@example.com"], b"Subject: bounce\r\n\r\n")
    assert received[0].sender == ""


def test_a_recipient_can_be_refused_for_good_while_the_others_are_taken(sink, received):
    with client_of(sink) as client:
        refused = client.sendmail("ann@example.com", ["GONE-7@example.com", "bob@example.com"], b"\r\nx")
    assert list(refused) == ["GONE-7@example.com"]
    code, text = refused["GONE-7@example.com"]
    assert (code, text.split()[0]) == (550, b"5.1.1")
    assert received[0].recipients == ("bob@example.com",)
    assert sink.counts.refused == 1


def test_a_deferred_recipient_is_deferred_once_and_then_taken_each_address_for_itself(sink, received):
    with client_of(sink) as client:
        for address in ("a@busy.example", "b@busy.example"):
            with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
                client.sendmail("ann@example.com", [address], b"\r\nx")
            code, text = caught.value.recipients[address]
            assert (code, text.split()[0]) == (450, b"4.2.0")
            client.sendmail("ann@example.com", [address.upper()], b"\r\nx")
    assert [mail.recipients for mail in received] == [("A@BUSY.EXAMPLE",), ("B@BUSY.EXAMPLE",)]
    assert (sink.counts.deferred, sink.counts.messages) == (2, 2)


def test_smtputf8_addresses_and_headers_come_through(sink, received):
    content = "Subject: Grüße\r\n\r\nÄ".encode()
    with client_of(sink) as client:
        client.ehlo()
        assert client.has_extn("smtputf8")
        assert client.has_extn("8bitmime")
        client.sendmail(
            "jürgen@example.com", ["δοκιμή@example.com"], content, mail_options=["SMTPUTF8", "BODY=8BITMIME"]
        )
    assert (received[0].sender, received[0].recipients) == ("jürgen@example.com", ("δοκιμή@example.com",))
    assert received[0].headers() == [("Subject", "Grüße")]


def test_more_than_the_size_limit_is_answered_552_declared_or_not(sink, received):
    with client_of(sink) as client:
        client.ehlo()
        assert client.esmtp_features["size"] == "9000"
        assert client.docmd("MAIL FROM:<ann@example.com> SIZE=9001")[0] == 552
        client.rset()
        client.esmtp_features.pop("size")  # else smtplib declares it
        with pytest.raises(smtplib.SMTPDataError) as caught:
            client.sendmail("ann@example.com", ["bob@example.com"], b"\r\n" + b"x" * 70 + (b"\r\n" + b"x" * 70) * 130)
    assert caught.value.smtp_code == 552
    assert received == []


def test_a_mail_whose_taker_fails_is_answered_451_and_the_sink_goes_on(caplog):
    def fail_first(mail: Received) -> None:
        if failing.counts.failed == 0:
            raise ValueError("something of a mail")

    with Sink(port=0, on_message=fail_first) as failing, client_of(failing) as client:
        with pytest.raises(smtplib.SMTPDataError) as caught:
            client.send_message(a_message())
        client.send_message(a_message())
    assert caught.value.smtp_code == 451
    assert failing.counts == Counts(connections=1, messages=1, recipients=1, failed=1)
    assert "something of a mail" not in caplog.text


def test_nothing_of_a_mail_reaches_a_log_even_at_debug(sink, caplog):
    with caplog.at_level("DEBUG"), client_of(sink) as client:
        client.send_message(a_message(body="A secret line.\n"))
    assert "secret" not in caplog.text
    assert "bob" not in caplog.text


def test_an_eml_file_holds_the_envelope_then_the_very_message(tmp_path):
    folder = tmp_path / "made" / "by the sink"
    content = b"Subject: kept\r\n\r\nbody\r\n"
    with Sink(port=0, directory=folder, clock=lambda: 1_700_000_000.9) as sink, client_of(sink) as client:
        client.sendmail("", ["bob@example.com", "cid@example.com"], content)
    (path,) = folder.iterdir()
    assert re.fullmatch(r"20231114T221320Z-000001-[0-9a-f]{8}\.eml", path.name)
    assert path.read_bytes() == (
        b"X-Envelope-From: <>\r\nX-Envelope-To: <bob@example.com>\r\nX-Envelope-To: <cid@example.com>\r\n" + content
    )


def test_names_of_eml_files_sort_in_order_of_arrival_and_two_sinks_share_a_folder(tmp_path):
    arrived: list[str] = []

    def note(mail: Received) -> None:
        assert mail.path is not None
        assert mail.path.exists()
        arrived.append(mail.path.name)

    def frozen() -> float:
        return 1_700_000_000.0

    with Sink(port=0, directory=tmp_path, on_message=note, clock=frozen) as one, client_of(one) as client:
        for _ in range(12):
            client.send_message(a_message())
    assert arrived == sorted(arrived)
    with Sink(port=0, directory=tmp_path, on_message=note, clock=frozen) as two, client_of(two) as client:
        client.send_message(a_message())
    assert len(list(tmp_path.iterdir())) == len(set(arrived)) == 13


def test_a_mail_that_cannot_be_written_is_answered_451_and_leaves_no_part_of_it(tmp_path):
    with Sink(port=0, directory=tmp_path, clock=lambda: 1_700_000_000.0) as sink, client_of(sink) as client:
        client.send_message(a_message())
        (first,) = tmp_path.iterdir()
        in_the_way = tmp_path / first.name.replace("000001", "000002")
        in_the_way.mkdir()
        with pytest.raises(smtplib.SMTPDataError) as caught:
            client.send_message(a_message())
        assert sorted(tmp_path.iterdir()) == [first, in_the_way]
        in_the_way.rmdir()
        client.send_message(a_message())
    assert caught.value.smtp_code == 451
    assert (sink.counts.messages, sink.counts.failed) == (2, 1)
    assert all(path.is_file() for path in tmp_path.iterdir())


def test_wait_for_returns_when_enough_came_and_false_when_the_time_is_up(sink):
    assert not sink.wait_for(1, timeout=0)

    def send_two() -> None:
        with client_of(sink) as client:
            client.send_message(a_message())
            client.send_message(a_message())

    sender = threading.Thread(target=send_two)
    sender.start()
    assert sink.wait_for(2, timeout=PATIENCE)
    sender.join()


def test_stop_closes_idle_and_busy_connections_and_frees_the_port():
    with Sink(port=0) as sink:
        idle, busy = (smtplib.SMTP(sink.host, sink.port, local_hostname="x", timeout=PATIENCE) for _ in range(2))
        busy.ehlo()
        busy.mail("a@example.com")
        busy.rcpt("b@example.com")
        assert busy.docmd("DATA")[0] == 354
    for client in (idle, busy):
        assert client.sock is not None
        with client.sock as connection, contextlib.suppress(ConnectionResetError):
            assert connection.recv(4096) == b""
    assert sink.counts.messages == 0
    with Sink(port=sink.port):
        pass


def test_a_sink_starts_again_on_its_port_and_stops_twice_without_complaint():
    sink = Sink(port=0)
    sink.stop()
    first_port = sink.start().port
    with pytest.raises(RuntimeError, match="running already"):
        sink.start()
    sink.stop()
    sink.stop()
    with sink, client_of(sink) as client:
        client.send_message(a_message())
    assert (sink.port, sink.counts.messages) == (first_port, 1)


def test_a_taken_port_is_one_clear_sentence(sink):
    other = Sink(port=sink.port)
    with pytest.raises(
        SinkError, match=rf"cannot listen on 127\.0\.0\.1, port {sink.port}: .*in use; name another port"
    ):
        other.start()
    other.stop()


# None of the names is asked of a name server; 192.0.2.1 is nobody's (RFC 5737).
@pytest.mark.parametrize("host", ["::1%nosuch", "a..b", "x" * 70, "192.0.2.1"])
def test_a_host_that_there_cannot_be_is_one_clear_sentence_that_talks_of_hosts(host):
    with pytest.raises(SinkError, match=f"the sink cannot listen on {host}, port 0: [A-Za-z]") as caught:
        Sink(host, port=0).start()
    assert "Unknown error" not in str(caught.value)
    assert str(caught.value).endswith("; name an address of this machine, such as --host 127.0.0.1")


def test_a_port_that_there_cannot_be_is_one_clear_sentence_that_talks_of_ports():
    with pytest.raises(SinkError, match=r"port 65536: .+; name another port: 1024 to 65535, or 0 for any free one"):
        Sink(port=65536).start()


def test_no_host_is_not_every_interface():
    with pytest.raises(SinkError, match="no host to listen on"):
        Sink("", port=0).start()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs a system with users")
def test_a_folder_that_cannot_be_made_is_one_clear_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SinkError, match=r"the folder .*file/x for the mails cannot be made: Not a directory"):
        Sink(port=0, directory=tmp_path / "file" / "x").start()


def test_a_control_character_in_an_envelope_cannot_add_a_line_to_an_eml_file():
    mail = Received(1, "a\rX-Evil: 1@b", ("c\n@d",), b"Subject: x\r\n\r\n")
    assert mail.with_envelope().split(b"\r\n")[:3] == [
        b"X-Envelope-From: <a?X-Evil: 1@b>",
        b"X-Envelope-To: <c?@d>",
        b"Subject: x",
    ]


def test_people_see_decoded_headers_text_parts_and_a_line_for_each_attachment():
    message = a_message("Grüße aus Köln", "Sch\N{LATIN SMALL LETTER O WITH DIAERESIS}n.\n" * 3)
    message.add_alternative("<p>Schön.</p>\n", subtype="html", cte="base64")
    message.add_attachment(b"%PDF" * 10, maintype="application", subtype="pdf", filename="zürich.pdf")
    message.add_attachment("a,b\n", subtype="csv", filename="rows.csv")
    mail = Received(3, "ann@example.com", ("bob@example.com",), message.as_bytes())
    assert ("Subject", "Grüße aus Köln") in mail.headers()
    body = mail.body()
    assert "[text/plain]\nSchön.\nSchön." in body
    assert "[text/html]\n<p>Schön.</p>" in body
    assert "[zürich.pdf: application/pdf, 40 bytes]" in body
    assert "[rows.csv: text/csv, 4 bytes]" in body
    assert mail.headline().startswith("── 3: <ann@example.com> -> bob@example.com (")


@pytest.mark.parametrize(
    ("content", "headers", "body"),
    [
        (b"", {}, ""),
        (b"no header at all", {}, "no header at all"),
        (b"\xff\xfe: \xff\r\n\r\n\xff", {}, "\ufffd\ufffd: \ufffd\n\n\ufffd"),
        (
            b"Subject: =?no-such-charset?b?////?=\r\nContent-Type: text/plain; charset=nonsense\r\n\r\n\xe4",
            {"Subject": "=?no-such-charset?b?////?=", "Content-Type": "text/plain; charset=nonsense"},
            "\ufffd",
        ),
        (
            b"Subject: =?utf-8?b?A?=\r\nContent-Type: multipart/mixed\r\n\r\nno boundary",
            {"Subject": "=?utf-8?b?A?=", "Content-Type": "multipart/mixed"},
            "[multipart/mixed, 11 bytes]",
        ),
        (
            b"Content-Type: text/plain; charset*=bogus'x'%FF\r\nContent-Transfer-Encoding: base64\r\n\r\n=",
            {"Content-Type": "text/plain; charset*=bogus'x'%FF", "Content-Transfer-Encoding": "base64"},
            "",
        ),
        (
            b"To: <\r\nContent-Disposition: attachment; filename*0*=x''%00\r\n\r\n",
            {"To": "<", "Content-Disposition": "attachment; filename*0*=x''%00"},
            "[\ufffd: text/plain, 0 bytes]",
        ),
    ],
)
def test_a_broken_mail_is_shown_all_the_same(content, headers, body):
    mail = Received(1, "\udcff", ("b@c",), content)
    assert mail.headline().startswith(f"── 1: <?> -> b@c ({len(content)} bytes) ──")
    assert (dict(mail.headers()), mail.body()) == (headers, body)


def test_what_a_terminal_would_obey_is_taken_out():
    mail = Received(1, "a\x1b[2J@b", ("c@d",), b"Subject: \x1b]0;x\x07\r\n\r\nbody\x1b[31m\x9b1m\r\nnext\tline\r\n")
    shown = "\n".join([mail.headline(), *(value for _, value in mail.headers()), mail.body()])
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown)
    assert "next\tline" in shown


# In a process of its own.


@contextlib.contextmanager
def sink_process(*arguments: str, stdin: int = subprocess.DEVNULL, env: dict[str, str] | None = None):
    process = subprocess.Popen(
        [sys.executable, "-m", "mailworker.sink", *arguments],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        errors="surrogateescape",
        env={**os.environ, **(env or {})},
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def address_of(process: subprocess.Popen[str]) -> tuple[str, int]:
    assert process.stdout is not None
    line = process.stdout.readline()
    match = re.fullmatch(r"listening on (127\.0\.0\.1):(\d+)\n", line)
    assert match, f"first line was {line!r}, standard error: {process.stderr and process.stderr.read()!r}"
    return match[1], int(match[2])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_program_tells_its_port_keeps_mail_and_ends_cleanly_on_a_signal(tmp_path, number):
    scripted = ("--refuse", "gone@*", "--defer-once", "late@*")
    with (
        sink_process("--port", "0", "--dir", str(tmp_path), *scripted) as process,
        smtplib.SMTP(*address_of(process), local_hostname="x", timeout=PATIENCE) as client,
    ):
        refused = client.sendmail("a@b.c", ["gone@b.c", "late@b.c", "d@b.c"], b"Subject: x\r\n\r\ny")
        assert {address: reply[0] for address, reply in refused.items()} == {"gone@b.c": 550, "late@b.c": 450}
        process.send_signal(number)  # while a client is connected
        out, err = process.communicate(timeout=PATIENCE)
        client.close()
    (kept,) = tmp_path.iterdir()
    summary, last = out.splitlines()
    assert summary == f"1: <a@b.c> -> d@b.c (17 bytes) {kept.name}"
    assert last == "stopped: connections=1 messages=1 recipients=1 refused=1 deferred=1 failed=0"
    assert (process.returncode, err) == (0, "")


def test_the_program_prints_each_mail_for_people_also_where_output_cannot_show_all():
    with sink_process("--port", "0", env={"PYTHONUTF8": "0", "PYTHONIOENCODING": "iso-8859-5"}) as process:
        with smtplib.SMTP(*address_of(process), local_hostname="x", timeout=PATIENCE) as client:
            client.send_message(a_message("Grüße", "Schön.\n"))
        process.terminate()
        out, err = process.communicate(timeout=PATIENCE)
    assert "1: <ann@example.com> -> bob@example.com (" in out
    assert "Subject: Gr??e" in out
    assert "\nSch?n.\n" in out
    assert (process.returncode, err) == (0, "")


def test_quiet_prints_the_first_and_the_last_line_only(tmp_path):
    with sink_process("--port", "0", "--quiet") as process:
        with smtplib.SMTP(*address_of(process), local_hostname="x", timeout=PATIENCE) as client:
            client.send_message(a_message())
        process.terminate()
        out, _ = process.communicate(timeout=PATIENCE)
    assert out == "stopped: connections=1 messages=1 recipients=1 refused=0 deferred=0 failed=0\n"


def test_until_eof_ends_with_the_parents_end_of_the_pipe():
    with sink_process("--port", "0", "--quiet", "--until-eof", stdin=subprocess.PIPE) as process:
        address_of(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(PATIENCE) == 0


def test_the_program_says_a_taken_port_in_one_sentence_without_a_traceback(sink):
    with sink_process("--port", str(sink.port)) as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (1, "")
    assert re.fullmatch(rf"Error: the sink cannot listen on 127\.0\.0\.1, port {sink.port}: .+\n", err)


def test_without_aiosmtpd_the_program_names_the_extra_that_brings_it(tmp_path):
    (tmp_path / "aiosmtpd").mkdir()
    (tmp_path / "aiosmtpd" / "__init__.py").write_text("raise ImportError('not installed')\n")
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[1])])
    with sink_process("--port", "0", env={"PYTHONPATH": path}) as process:
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (1, "")
    assert err == "Error: the sink needs aiosmtpd, which is not installed; run: pip install 'mailworker[demo]'\n"


def test_the_command_shows_its_examples():
    from click.testing import CliRunner

    result = CliRunner().invoke(command, ["--help"])
    assert result.exit_code == 0
    assert "mailworker sink --port 2525 --dir mails" in result.output
