from __future__ import annotations

import io
import os
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from mailworker import mail, settings
from mailworker.errors import BadHeaderError, ConfigurationError
from mailworker.mail.backends import console, dummy, filebased, locmem
from mailworker.outcome import OutcomeClass

ACCEPTED, DEFERRED, REJECTED = OutcomeClass.ACCEPTED, OutcomeClass.DEFERRED, OutcomeClass.REJECTED


def message(subject: Any = "s", **kwargs: Any) -> mail.EmailMessage:
    return mail.EmailMessage(
        subject, "body é\n", "f@x.example", **{"to": ["Ann <a@x.example>", "b@x.example"], **kwargs}
    )


class Broken(mail.EmailMessage):
    def message(self) -> Message:
        raise UnicodeDecodeError("ascii", b"\xff", 0, 1, "secret@x.example")


def broken() -> mail.EmailMessage:
    return Broken("s", "b", "f@x.example", ["c@x.example"])


@pytest.fixture(params=["console", "filebased", "locmem", "dummy"])
def build(request, tmp_path):
    """Each plain backend, as something that builds it."""

    def built(**kwargs: Any) -> Any:
        own = {"console": {"stream": io.StringIO()}, "filebased": {"file_path": tmp_path / "mails"}}.get(
            request.param, {}
        )
        return mail.get_connection(f"mailworker.mail.backends.{request.param}.EmailBackend", **own, **kwargs)

    built.name = request.param  # type: ignore[attr-defined]
    return built


@pytest.fixture
def written(tmp_path):
    """What stands in the files, in order."""
    return lambda: [
        path.read_bytes() for path in sorted((tmp_path / "mails").iterdir(), key=lambda p: p.stat().st_mtime_ns)
    ]


class Journal:
    def __init__(self, *, begin: bool = True, commit: bool = True) -> None:
        self.heard: list[tuple[str, Any]] = []
        self.begin = begin
        self.commit = commit

    def beginning(self, message: Any) -> bool:
        self.heard.append(("beginning", message.subject))
        return self.begin or message.subject != "s1"

    def committing(self, message: Any) -> bool:
        assert message.outcomes == {}
        self.heard.append(("committing", message.subject))
        return self.commit or message.subject != "s1"

    def may_begin(self, message: Any) -> bool:
        return self.begin or message.subject != "s1"

    def meanwhile(self) -> None:
        """Nobody waits for anything here."""

    def settled(self, message: Any, following: Any = None) -> None:
        assert message.outcomes
        self.heard.append(("settled", message.subject))


# --- what all of them do


def test_messages_are_counted_and_every_recipient_has_an_outcome(build):
    one, other = message(), message(bcc=["c@bücher.example"])
    backend = build()
    assert backend.reports_outcomes is True
    assert backend.send_messages([one, other]) == 2
    assert set(one.outcomes) == {"a@x.example", "b@x.example"}
    assert set(other.outcomes) == {"a@x.example", "b@x.example", "c@xn--bcher-kva.example"}
    assert {o.kind for o in other.outcomes.values()} == {ACCEPTED}
    assert all(o.text and o.reply is None for o in other.outcomes.values())


def test_nothing_to_send_is_nothing_sent(build):
    assert build().send_messages([]) == 0
    assert build().send_messages(iter(())) == 0


def test_a_failed_message_does_not_stop_the_ones_beside_it(build):
    batch = [message("s1"), broken(), message("s3")]
    if build.name == "dummy":
        # It renders nothing, so nothing can fail.
        assert build().send_messages(batch) == 3
        return
    with pytest.raises(UnicodeDecodeError):
        build().send_messages(batch)
    assert [{o.kind for o in each.outcomes.values()} for each in batch] == [{ACCEPTED}, {REJECTED}, {ACCEPTED}]
    assert batch[1].outcomes["c@x.example"].text == "could not be rendered: UnicodeDecodeError"
    assert build(fail_silently=True).send_messages(batch) == 2


def test_a_bad_header_is_raised_even_by_a_silent_backend_and_stops_nothing(build):
    batch = [message("s1"), message("s2\nBcc: x@y"), message("s3")]
    with pytest.raises(BadHeaderError):
        build(fail_silently=True).send_messages(batch)
    assert [{o.kind for o in each.outcomes.values()} for each in batch] == [{ACCEPTED}, {REJECTED}, {ACCEPTED}]


def test_a_bad_header_alone_opens_nothing(build, monkeypatch):
    backend = build()
    opened: list[bool] = []
    was = backend.open

    def noted() -> Any:
        opened.append(True)
        return was()

    monkeypatch.setattr(backend, "open", noted)
    with pytest.raises(BadHeaderError):
        backend.send_messages([message("s\n")])
    assert opened == []
    with pytest.raises(BadHeaderError):
        backend.send_messages([message("s\n"), message("s")])
    assert opened == [True]


def test_the_journal_hears_of_each_message_in_order(build):
    journal = Journal()
    bad = message("s2\n")
    with pytest.raises(BadHeaderError):
        build().send_messages([message("s1"), bad, message("s3")], journal=journal)
    assert journal.heard == [
        ("beginning", "s1"),
        ("committing", "s1"),
        ("settled", "s1"),
        ("beginning", "s2\n"),
        ("settled", "s2\n"),
        ("beginning", "s3"),
        ("committing", "s3"),
        ("settled", "s3"),
    ]


@pytest.mark.parametrize("answer", [{"begin": False}, {"commit": False}])
def test_a_message_that_the_journal_takes_back_is_not_sent(build, answer, outbox):
    journal = Journal(**answer)
    batch = [message("s1"), message("s2")]
    assert build().send_messages(batch, journal=journal) == 1
    assert batch[0].outcomes == {}
    assert ("settled", "s1") not in journal.heard
    assert ("settled", "s2") in journal.heard
    assert [kept.subject for kept in outbox] in ([], ["s2"])


def test_old_outcomes_do_not_stay_on_a_message(build):
    one = message("s1")
    build().send_messages([one])
    build().send_messages([one], journal=Journal(begin=False))
    assert one.outcomes == {}


def test_a_recipient_that_is_no_address_has_an_outcome_too(build):
    one = message(to=["no address"])
    assert build().send_messages([one]) == 1
    assert one.outcomes["no address"].kind is ACCEPTED


def test_many_threads_share_one_backend(build, outbox, written):
    backend = build()
    barrier = threading.Barrier(8)

    def send(place: int) -> int:
        barrier.wait(10)
        return sum(backend.send_messages([message(f"m{place}-{i}")]) for i in range(5))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(send, range(8))) == 40
    subjects = {f"m{place}-{i}" for place in range(8) for i in range(5)}
    if build.name == "locmem":
        assert {kept.subject for kept in outbox} == subjects
    elif build.name == "console":
        assert set(re.findall(r"Subject: (\S+)", backend.stream.getvalue())) == subjects
        assert backend.stream.getvalue().count("\n" + "-" * 79 + "\n") == 40
    elif build.name == "filebased":
        assert sum(content.count(b"\n" + b"-" * 79 + b"\n") for content in written()) == 40


# --- console


def test_the_console_shows_messages_on_standard_output(capsys):
    with settings.override(EMAIL_BACKEND="mailworker.mail.backends.console.EmailBackend"):
        assert message().send() == 1
    shown = capsys.readouterr().out
    assert shown.startswith('Content-Type: text/plain; charset="utf-8"\n')
    assert "body é\n" in shown
    assert shown.endswith("\n" + "-" * 79 + "\n")


def test_the_console_takes_another_stream_and_shows_any_charset():
    stream = io.StringIO()
    one = message()
    one.encoding = "iso-8859-1"
    other = mail.EmailMessage("s", "é", attachments=[message().attachments or ("a.txt", "é", None)], to=["a@x"])
    assert console.EmailBackend(stream=stream).send_messages([one, other]) == 2
    assert "é" in stream.getvalue()


def test_a_terminal_without_unicode_shows_escapes():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", newline="\n")
    assert console.EmailBackend(stream=stream).send_messages([message()]) == 1
    assert b"body \\xe9\n" in raw.getvalue()


def test_the_console_writes_to_standard_output_as_it_is_when_it_is_built(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    assert console.EmailBackend().stream is stream


def test_a_stream_that_cannot_be_written_defers_the_message_and_flushes_the_others():
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            if "Subject: s2" in text:
                raise OSError(28, "No space left on device")
            return super().write(text)

    batch = [message("s1"), message("s2"), message("s3")]
    with pytest.raises(OSError, match="No space"):
        console.EmailBackend(stream=Full()).send_messages(batch)
    assert [each.outcomes["b@x.example"].kind for each in batch] == [ACCEPTED, DEFERRED, ACCEPTED]


def test_an_overridden_write_message_is_used():
    class Short(console.EmailBackend):
        def write_message(self, message: Any) -> None:
            self.stream.write(message.subject)

    stream = io.StringIO()
    Short(stream=stream).send_messages([message("one"), message("two")])
    assert stream.getvalue() == "onetwo"


# --- filebased


def file_backend(path: Any, **kwargs: Any) -> filebased.EmailBackend:
    return filebased.EmailBackend(file_path=path, **kwargs)


def test_a_file_holds_the_messages_of_one_backend(tmp_path, written):
    backend = file_backend(tmp_path / "mails")
    backend.send_messages([message("s1"), message("s2")])
    backend.send_messages([message("s3")])
    (content,) = written()
    assert re.findall(rb"Subject: (\S+)", content) == [b"s1", b"s2", b"s3"]
    assert content.endswith(b"\n" + b"-" * 79 + b"\n")
    assert "body é".encode() in content
    assert backend.stream is None


def test_each_session_has_a_file_of_its_own(tmp_path, written):
    backend = file_backend(str(tmp_path / "mails"))
    for _ in range(2):
        assert backend.open() is True
        assert backend.open() is False
        backend.send_messages([message()])
        backend.send_messages([message()])
        assert backend.stream is not None
        backend.close()
        backend.close()
    with file_backend(tmp_path / "mails") as other:
        other.send_messages([message()])
    assert [content.count(b"Subject:") for content in written()] == [2, 2, 1]


def test_the_folder_may_come_from_the_settings(tmp_path, written):
    with settings.override(
        EMAIL_BACKEND="mailworker.mail.backends.filebased.EmailBackend", EMAIL_FILE_PATH=str(tmp_path / "mails")
    ):
        assert message().send() == 1
    assert len(written()) == 1


def test_a_missing_folder_setting_is_named():
    with settings.override(EMAIL_FILE_PATH=None), pytest.raises(ConfigurationError, match="EMAIL_FILE_PATH is not set"):
        filebased.EmailBackend()


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigurationError, match="no folder") as caught:
            file_backend(path)
        assert str(path) in str(caught.value)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be made"):
        file_backend(tmp_path / ("x" * 300))


def test_a_folder_that_nobody_may_write_to_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *args: False)
    with pytest.raises(ConfigurationError, match="no permission"):
        file_backend(tmp_path)


def test_a_folder_that_has_gone_is_an_error_before_any_message_is_begun(tmp_path):
    backend = file_backend(tmp_path / "mails")
    Path(tmp_path / "mails").rmdir()
    journal = Journal()
    with pytest.raises(OSError):
        backend.send_messages([message()], journal=journal)
    assert journal.heard == []
    backend.fail_silently = True
    assert backend.send_messages([message()]) == 0


# --- locmem


def test_the_outbox_holds_copies(outbox):
    one = message(attachments=[("a.txt", "x", None)])
    one.send()
    one.to.append("later@x")
    one.attachments.clear()
    assert outbox[0].to == ["Ann <a@x.example>", "b@x.example"]
    assert len(outbox[0].attachments) == 1
    assert outbox[0] is not one


def test_a_message_whose_connection_cannot_be_copied_is_kept(outbox, tmp_path):
    one = message(connection=file_backend(tmp_path))
    locmem.EmailBackend().send_messages([one])
    assert outbox[0].connection is one.connection


def test_the_outbox_may_be_replaced_cleared_and_deleted(monkeypatch):
    import mailworker

    message("s1").send()
    mail.outbox = []
    message("s2").send()
    assert [kept.subject for kept in mail.outbox] == ["s2"]
    assert mailworker.outbox is mail.outbox
    mail.outbox.clear()
    message("s3").send()
    assert [kept.subject for kept in mailworker.outbox] == ["s3"]
    del mail.outbox
    message("s4").send()
    assert [kept.subject for kept in mail.outbox] == ["s4"]


# --- dummy


def test_the_dummy_takes_everything_and_options_too(outbox):
    backend = dummy.EmailBackend()
    assert backend.send_messages([message(), broken()], options=mail.QueueOptions(lane="high")) == 2
    assert outbox == []
