"""The SMTP backend: batches, what it leaves on each message, and what it raises."""

from __future__ import annotations

import inspect
import logging
import threading
from email import message_from_bytes
from email.mime.text import MIMEText
from typing import Any

import pytest

from mailworker import settings
from mailworker.errors import (
    BadHeaderError,
    ConfigurationError,
    DeliveryFailed,
    InvalidAddress,
    MailerUnavailable,
    Trouble,
)
from mailworker.mail import get_connection
from mailworker.mail.backends.smtp import EmailBackend
from mailworker.mail.message import EmailMessage
from mailworker.outcome import Outcome, OutcomeClass, Reply
from mailworker.smtp.session import Session
from mailworker.testing import DROP, HANG, OK, Drip, Drop, Script
from tests.smtpd import Certificates

ACCEPTED, DEFERRED, REJECTED, IN_DOUBT = (
    OutcomeClass.ACCEPTED,
    OutcomeClass.DEFERRED,
    OutcomeClass.REJECTED,
    OutcomeClass.IN_DOUBT,
)
A, B = "a@example.org", "b@example.org"


@pytest.fixture(scope="module")
def certificates():
    return Certificates()


@pytest.fixture
def connect():
    """Make a backend for a server; closed with the test."""
    made = []

    def make(server, cls=EmailBackend, **options):
        backend = cls(**({"host": server.host, "port": server.port, "timeout": 10.0} | options))
        made.append(backend)
        return backend

    yield make
    for backend in made:
        backend.close()


def message(subject="hello", to=(A, B), *, large=False):
    return EmailMessage(subject, "text " * (1000 if large else 1), "sender@example.com", list(to))


def kinds(sent):
    return {recipient: outcome.kind for recipient, outcome in sent.outcomes.items()}


class Log:
    """A journal that writes down what it hears."""

    def __init__(self, begin=True, commit=True):
        self.heard = []
        self._begin = begin
        self._commit = commit

    def beginning(self, message):
        self.heard.append(("beginning", message.subject, dict(message.outcomes)))
        return self._begin(message) if callable(self._begin) else self._begin

    def committing(self, message):
        self.heard.append(("committing", message.subject, dict(message.outcomes)))
        return self._commit(message) if callable(self._commit) else self._commit

    def may_begin(self, message):
        return self._begin(message) if callable(self._begin) else self._begin

    def meanwhile(self):
        pass

    def settled(self, message, following=None):
        self.heard.append(("settled", message.subject, dict(message.outcomes)))
        if following is not None:
            self.heard.append(("beginning", following.subject, dict(following.outcomes)))

    @property
    def calls(self):
        return [(call, subject) for call, subject, _ in self.heard]


# What it is made with.


def test_the_arguments_stand_in_django_s_order():
    from django.core.mail.backends.smtp import EmailBackend as Oracle

    def positional(cls):
        parameters = inspect.signature(cls.__init__).parameters.values()
        return [(p.name, p.default) for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]

    assert positional(EmailBackend) == positional(Oracle)


def test_what_is_not_given_comes_from_the_settings():
    with settings.override(
        EMAIL_HOST="mail.example.com",
        EMAIL_PORT=587,
        EMAIL_HOST_USER="u",
        EMAIL_HOST_PASSWORD="p",
        EMAIL_USE_TLS=True,
        EMAIL_SSL_CERTFILE="cert.pem",
        EMAIL_SSL_KEYFILE="key.pem",
        EMAIL_TIMEOUT=7,
        MAILWORKER_TRANSACTION_TIMEOUT=11,
        MAILWORKER_FINAL_REPLY_TIMEOUT=12,
        MAILWORKER_IDLE_TIMEOUT=13,
    ):
        backend = EmailBackend()
        options = backend._session_options()
    assert (backend.host, backend.port) == ("mail.example.com", 587)
    assert (backend.username, backend.password) == ("u", "p")
    assert (backend.use_tls, backend.use_ssl, backend.timeout) == (True, False, 7)
    assert (options.transaction_timeout, options.final_reply_timeout, options.max_idle) == (11, 12, 13)
    assert (backend.ssl_certfile, backend.ssl_keyfile) == ("cert.pem", "key.pem")
    assert backend.connection is None
    assert backend.reports_outcomes


def test_a_mailer_with_an_alias_takes_nothing_of_the_relay_s_settings():
    with settings.override(EMAIL_HOST="mail.example.com", EMAIL_HOST_USER="u", EMAIL_HOST_PASSWORD="p"):
        backend = EmailBackend(alias="other", port=2525)
    assert (backend.host, backend.port, backend.username, backend.password) == ("localhost", 2525, "", "")
    assert (backend.use_tls, backend.timeout, backend.alias) == (False, 60.0, "other")


def test_arguments_win_over_settings_also_if_they_are_false():
    with settings.override(EMAIL_USE_TLS=True, EMAIL_HOST_USER="u", EMAIL_HOST_PASSWORD="p"):
        backend = EmailBackend(use_tls=False, username="", password="")
    assert (backend.use_tls, backend.username, backend.password) == (False, "", "")


def test_both_kinds_of_tls_are_a_configuration_error_and_a_value_error():
    with pytest.raises(ConfigurationError, match="EMAIL_USE_TLS and EMAIL_USE_SSL") as caught:
        EmailBackend(use_tls=True, use_ssl=True)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    "options",
    [{"port": 70000}, {"timeout": -1}, {"timeout": 0}, {"opening_timeout": 0}, {"max_messages": 0}, {"max_idle": "9"}],
)
def test_a_wrong_option_is_named_when_the_backend_is_made(options):
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        EmailBackend(**options)


def test_an_unknown_option_of_a_mailer_is_an_error_and_one_of_nobody_s_is_not():
    with pytest.raises(ConfigurationError, match=r"'use_tsl' \(use_tls\?\)"):
        EmailBackend(alias="other", use_tsl=True)
    # A limit of the queue's never comes here, and may have been meant.
    with pytest.raises(ConfigurationError, match=r"'session' \(sessions\?\), 'xyz'; expected some of burst, "):
        EmailBackend(alias="other", session=2, xyz=1)
    EmailBackend(use_tsl=True)


@pytest.mark.parametrize("option", [{"max_idle": -3}, {"dsn_notify": "MAYBE"}, {"use_tls": "false"}, {"port": 70000}])
def test_a_wrong_option_of_a_mailer_says_whose_it_is(option):
    (name,) = option
    with pytest.raises(ConfigurationError, match=rf"^MAILERS\['news'\]: {name} .*expected"):
        EmailBackend(alias="news", **option)
    with pytest.raises(ConfigurationError, match=rf"^{name} .*expected"):
        EmailBackend(**option)


def test_get_connection_makes_it_and_hands_its_arguments_on():
    path = "mailworker.mail.backends.smtp.EmailBackend"
    backend = get_connection(path, True, host="h.example.com", port=26, username="u", password="p")
    assert isinstance(backend, EmailBackend)
    assert (backend.host, backend.port, backend.username, backend.fail_silently) == ("h.example.com", 26, "u", True)


# Opening and closing.


def test_open_says_whether_the_session_is_new(bench, connect):
    server = bench.serve()
    backend = connect(server)
    assert backend.open() is True
    assert type(backend.connection) is Session
    assert backend.open() is False
    backend.close()
    backend.close()
    assert vars(backend)["connection"] is None
    server.wait_closed()
    assert server.sessions[0].ended_by == "quit"
    assert server.connections_ever == 1


@pytest.mark.parametrize(
    ("options", "trouble"),
    [
        ({"username": "u", "password": "wrong"}, Trouble.AUTH_REFUSED),
        ({"use_tls": True, "host": "localhost"}, Trouble.TLS),
        ({"use_tls": True, "ssl_cafile": "/nowhere.pem"}, Trouble.CONFIGURATION),
    ],
)
def test_a_failed_open_raises_and_leaves_nothing_half_open(bench, connect, certificates, options, trouble):
    server = bench.serve(Script(users={"u": "p"}), tls=certificates.server())
    backend = connect(server, **options)
    with pytest.raises(MailerUnavailable) as caught:
        backend.open()
    assert caught.value.trouble is trouble
    assert backend.connection is None
    server.wait_closed()


def test_a_failed_open_that_fails_silently_says_none_and_nothing_is_sent(bench, connect, caplog):
    server = bench.serve(Script(users={"u": "p"}))
    backend = connect(server, username="u", password="s3cret", fail_silently=True)
    with caplog.at_level(logging.DEBUG):
        assert backend.open() is None
        sent = message()
        assert backend.send_messages([sent]) == 0
    assert sent.outcomes == {}
    assert "s3cret" not in caplog.text
    assert A not in caplog.text
    server.wait_closed()


def test_the_context_manager_opens_and_closes(bench, connect):
    server = bench.serve()
    with connect(server) as backend:
        backend.send_messages([message()])
        backend.send_messages([message()])
    server.wait_closed()
    assert server.connections_ever == 1


def test_close_after_the_relay_has_gone_never_raises(bench, connect):
    server = bench.serve()
    backend = connect(server)
    backend.open()
    server.stop()
    backend.close()
    assert backend.connection is None


def test_a_batch_opens_and_closes_if_nothing_was_open(bench, connect):
    server = bench.serve()
    backend = connect(server)
    assert backend.send_messages([message("1"), message("2")]) == 2
    assert backend.connection is None
    server.wait_closed()
    assert server.connections_ever == 1
    assert len(server.accepted) == 2


def test_a_batch_leaves_open_what_was_open(bench, connect):
    server = bench.serve()
    backend = connect(server)
    backend.open()
    assert backend.send_messages([message()]) == 1
    assert backend.connection is not None
    assert backend.send_messages([message()]) == 1
    assert server.connections_ever == 1


def test_no_messages_open_nothing(bench, connect):
    server = bench.serve()
    assert connect(server).send_messages([]) == 0
    assert connect(server).send_messages(iter(())) == 0
    assert server.connections_ever == 0


def test_what_arrives_is_the_rendered_message_to_all_recipients(bench, connect):
    server = bench.serve()
    mail = EmailMessage(
        "s",
        "b\n.\n",
        "From <f@example.com>",
        ["To <t@example.org>"],
        ["bcc@example.org"],
        cc=["cc@b\u00fccher.example"],
    )
    connect(server).send_messages([mail])
    (got,) = server.accepted
    assert got.sender == "f@example.com"
    assert got.recipients == ["t@example.org", "cc@xn--bcher-kva.example", "bcc@example.org"]
    assert list(mail.outcomes) == got.recipients
    assert b"bcc@" not in got.content
    assert got.content.endswith(b"\r\n\r\nb\r\n.\r\n")


def test_a_server_without_8bitmime_gets_seven_bits(bench, connect):
    server = bench.serve(Script(eight_bit=False))
    mail = message()
    mail.body = "gr\u00fc\u00dfe"
    connect(server).send_messages([mail])
    assert server.accepted[0].content.isascii()
    assert "BODY=8BITMIME" not in server.accepted[0].parameters


def test_a_server_with_8bitmime_is_told_of_eight_bits(bench, connect):
    server = bench.serve()
    mail = message()
    mail.body = "gr\u00fc\u00dfe"
    connect(server).send_messages([mail])
    assert "gr\u00fc\u00dfe".encode() in server.accepted[0].content
    assert "BODY=8BITMIME" in server.accepted[0].parameters


@pytest.mark.parametrize("encoding", ["us-ascii", "iso-2022-jp", "utf-8"])
@pytest.mark.parametrize("body", ["y" * 5000, "a\0b"], ids=["long line", "NUL"])
def test_a_server_with_8bitmime_gets_no_line_over_998_octets_and_no_nul(bench, connect, encoding, body):
    # RFC 6152 lifts the limit of seven bits, and no other (RFC 2045 \u00a72.8).
    server = bench.serve()
    mail = message()
    mail.body, mail.encoding = body, encoding
    connect(server).send_messages([mail])
    content = server.accepted[0].content
    assert max(map(len, content.split(b"\r\n"))) <= 998
    assert b"\0" not in content
    got = message_from_bytes(content).get_payload(decode=True)
    assert isinstance(got, bytes)
    assert got.decode(encoding).removesuffix("\r\n") == body


# Every answer: what is left on the messages, and which are counted.

ANSWERS = {
    "2xx": ({}, {A: ACCEPTED, B: ACCEPTED}),
    "RCPT 4xx": ({"rcpt": {A: "450 4.2.0 busy"}}, {A: DEFERRED, B: ACCEPTED}),
    "RCPT 5xx": ({"rcpt": {A: "550 5.1.1 who"}}, {A: REJECTED, B: ACCEPTED}),
    "RCPT 552": ({"rcpt": {A: "552 too many"}}, {A: DEFERRED, B: ACCEPTED}),
    "all refused": ({"rcpt": {A: "550 who", B: "450 busy"}}, {A: REJECTED, B: DEFERRED}),
    "MAIL 4xx": ({"mail": ["451 later"]}, {A: DEFERRED, B: DEFERRED}),
    "MAIL 5xx": ({"mail": ["550 no"]}, {A: REJECTED, B: REJECTED}),
    "DATA 4xx": ({"data": ["451 later"]}, {A: DEFERRED, B: DEFERRED}),
    "DATA 5xx": ({"data": ["554 no"]}, {A: REJECTED, B: REJECTED}),
    "dot 4xx": ({"dot": ["451 later"]}, {A: DEFERRED, B: DEFERRED}),
    "dot 5xx": ({"dot": ["554 spam"]}, {A: REJECTED, B: REJECTED}),
    "dot 421": ({"dot": ["421 bye"]}, {A: DEFERRED, B: DEFERRED}),
    "over SIZE": ({"size": 2000}, {A: REJECTED, B: REJECTED}),
    "lost in MAIL": ({"mail": [DROP]}, {A: DEFERRED, B: DEFERRED}),
    "lost in RCPT": ({"rcpt": {B: [DROP]}}, {A: DEFERRED, B: DEFERRED}),
    "lost in DATA": ({"data": [DROP]}, {A: DEFERRED, B: DEFERRED}),
    "lost after the dot": ({"dot": [DROP]}, {A: IN_DOUBT, B: IN_DOUBT}),
    "MAIL 421 once": ({"mail": ["421 bye"]}, {A: ACCEPTED, B: ACCEPTED}),
    "RCPT 421 once": ({"rcpt": {B: ["421 bye"]}}, {A: ACCEPTED, B: ACCEPTED}),
    "DATA 421 once": ({"data": ["421 bye"]}, {A: ACCEPTED, B: ACCEPTED}),
    "MAIL 421 twice": ({"mail": ["421 bye", "421 bye"]}, {A: DEFERRED, B: DEFERRED}),
    "DATA 421 twice": ({"data": ["421 bye", "421 bye"]}, {A: DEFERRED, B: DEFERRED}),
    "421 in one, then in another phase": ({"mail": ["421 bye"], "data": ["421 bye"]}, {A: DEFERRED, B: DEFERRED}),
}


@pytest.mark.parametrize("row", ANSWERS.values(), ids=ANSWERS)
def test_each_answer_gives_its_outcomes_and_the_next_message_goes_out(bench, connect, row):
    script, expected = row
    server = bench.serve(Script(**script))
    backend = connect(server, fail_silently=True)
    first = message("first", large="size" in script)
    next_ = message("next", to=["other@example.org"])
    accepted = ACCEPTED in expected.values()
    assert backend.send_messages([first, next_]) == accepted + 1
    assert kinds(first) == expected
    assert kinds(next_) == {"other@example.org": ACCEPTED}
    subjects = [one.content.split(b"Subject: ")[1].split(b"\r\n")[0] for one in server.accepted]
    assert subjects == [b"first"] * accepted + [b"next"]
    server.wait_closed()


@pytest.mark.parametrize("row", ANSWERS.values(), ids=ANSWERS)
def test_it_raises_if_and_only_if_a_message_was_accepted_for_nobody(bench, connect, row):
    script, expected = row
    backend = connect(bench.serve(Script(**script)))
    sent = message(large="size" in script)
    if ACCEPTED in expected.values():
        assert backend.send_messages([sent]) == 1
        return
    with pytest.raises(DeliveryFailed) as caught:
        backend.send_messages([sent])
    assert dict(caught.value.outcomes) == sent.outcomes
    assert "@" not in str(caught.value)


@pytest.mark.parametrize(
    ("script", "kind"),
    [(Script(data=[HANG]), DEFERRED), (Script(data=[Drip("354 " + "x" * 300, 0.02)]), DEFERRED)],
    ids=["hangs", "drips"],
)
def test_a_relay_that_hangs_or_drips_costs_one_message_its_attempt_and_the_next_goes_out(bench, connect, script, kind):
    server = bench.serve(script)
    backend = connect(server, timeout=1.0, fail_silently=True)
    first, second = message("1"), message("2")
    assert backend.send_messages([first, second]) == 1
    assert set(kinds(first).values()) == {kind}
    assert set(kinds(second).values()) == {ACCEPTED}
    assert server.connections_ever == 2


def test_the_reply_is_kept_with_each_refused_recipient(bench, connect):
    backend = connect(bench.serve(Script(rcpt={A: "550 5.1.1 no <a@example.org> here"})))
    sent = message()
    assert backend.send_messages([sent]) == 1
    assert sent.outcomes[A] == Outcome(REJECTED, Reply(550, "no <a@example.org> here", "5.1.1"))


def test_the_error_is_that_of_the_first_message_that_failed_and_the_others_were_sent(bench, connect):
    server = bench.serve(Script(dot=[OK, "554 5.7.1 spam", "451 4.3.0 later", OK]))
    batch = [message(str(n)) for n in range(4)]
    with pytest.raises(DeliveryFailed, match=r"554 5\.7\.1") as caught:
        connect(server).send_messages(batch)
    assert caught.value.outcomes == batch[1].outcomes
    assert [set(kinds(one).values()) for one in batch] == [{ACCEPTED}, {REJECTED}, {DEFERRED}, {ACCEPTED}]
    server.wait_closed()


def test_nothing_is_raised_if_the_backend_fails_silently(bench, connect):
    server = bench.serve(Script(dot=["554 spam"]))
    assert connect(server, fail_silently=True).send_messages([message(), message()]) == 1


def test_no_log_record_holds_an_address_or_a_reply(bench, connect, caplog):
    server = bench.serve(Script(rcpt={A: "550 5.1.1 no <a@example.org> here", B: "550 peculiar"}))
    with caplog.at_level(logging.DEBUG), pytest.raises(DeliveryFailed) as caught:
        connect(server).send_messages([message()])
    for shown in (caplog.text, str(caught.value), repr(caught.value)):
        assert "@" not in shown
        assert "peculiar" not in shown


# Messages that cannot be sent at all.


class Unrenderable(EmailMessage):
    def message(self):
        raise RuntimeError("secret body")


def test_a_message_that_cannot_be_rendered_is_rejected_and_the_others_go_on(bench, connect):
    server = bench.serve()
    bad = Unrenderable("bad", "", "s@example.com", [A])
    good = message("good")
    with pytest.raises(DeliveryFailed) as caught:
        connect(server).send_messages([bad, good])
    assert kinds(bad) == {A: REJECTED}
    assert bad.outcomes[A].text == "the message cannot be rendered: RuntimeError"
    assert kinds(good) == {A: ACCEPTED, B: ACCEPTED}
    assert "secret body" not in str(caught.value)
    assert server.connections_ever == 1


@pytest.mark.parametrize("fail_silently", [False, True])
def test_a_bad_header_is_raised_as_itself_after_the_others_were_sent(bench, connect, fail_silently):
    server = bench.serve()
    bad = message("one\nBcc: victim@example.org")
    good = message("good")
    with pytest.raises(BadHeaderError):
        connect(server, fail_silently=fail_silently).send_messages([bad, good])
    assert kinds(bad) == {A: REJECTED, B: REJECTED}
    assert [one.recipients for one in server.accepted] == [[A, B]]


def test_a_bad_header_alone_opens_no_connection(bench, connect):
    server = bench.serve()
    bad = message("Bad\n")
    with pytest.raises(BadHeaderError):
        connect(server).send_messages([bad])
    assert server.sessions == []
    assert {o.kind for o in bad.outcomes.values()} == {OutcomeClass.REJECTED}


def test_a_recipient_that_is_no_address_is_rejected_alone(bench, connect):
    server = bench.serve()
    sent = message(to=[A, "nobody at all"])
    assert connect(server).send_messages([sent]) == 1
    assert kinds(sent) == {A: ACCEPTED, "nobody at all": REJECTED}
    assert server.accepted[0].recipients == [A]


def test_recipients_that_are_all_no_addresses_are_a_value_error_for_the_caller(bench, connect):
    server = bench.serve()
    sent = message(to=["nobody at all"])
    with pytest.raises(InvalidAddress):
        connect(server).send_messages([sent])
    assert kinds(sent) == {"nobody at all": REJECTED}
    assert server.transactions == []


def test_a_sender_that_is_no_address_rejects_the_message(bench, connect):
    sent = message()
    sent.from_email = "a@b@c"
    with pytest.raises(InvalidAddress):
        connect(bench.serve()).send_messages([sent])
    assert kinds(sent) == {A: REJECTED, B: REJECTED}


def test_a_message_that_cannot_say_whom_it_is_for_stops_nobody(bench, connect):
    class Broken(EmailMessage):
        def recipients(self):
            raise RuntimeError

    good = message()
    with pytest.raises(DeliveryFailed):
        connect(bench.serve()).send_messages([Broken(), good])
    assert set(kinds(good).values()) == {ACCEPTED}


def test_a_message_without_recipients_is_passed_over(bench, connect):
    server = bench.serve()
    journal = Log()
    assert connect(server).send_messages([message("nobody", to=[]), message("someone")], journal=journal) == 1
    assert {subject for _, subject in journal.calls} == {"someone"}
    assert len(server.transactions) == 1


def test_a_local_part_beyond_ascii_is_rejected_alone_where_smtputf8_is_not_offered(bench, connect):
    server = bench.serve(Script(smtputf8=False))
    sent = message(to=[A, "j\u00f6rg@example.org"])
    assert connect(server).send_messages([sent]) == 1
    assert kinds(sent) == {A: ACCEPTED, "j\u00f6rg@example.org": REJECTED}


# The session in mid-batch.


def test_a_session_that_the_relay_ended_is_replaced_without_a_word(bench, connect):
    server = bench.serve()
    backend = connect(server)
    backend.open()
    backend.send_messages([message("1")])
    server.hang_up()
    journal = Log()
    assert backend.send_messages([message("2")], journal=journal) == 1
    assert journal.calls == [("beginning", "2"), ("committing", "2"), ("settled", "2")]
    assert server.connections_ever == 2


def test_a_session_that_turns_out_dead_at_its_next_mail_is_replaced_without_a_word(bench, connect):
    server = bench.serve(Script(mail=[OK, DROP, OK]))
    sent = [message("1"), message("2")]
    journal = Log()
    assert connect(server).send_messages(sent, journal=journal) == 2
    assert [call for call, subject in journal.calls if subject == "2"] == ["beginning", "committing", "settled"]
    assert server.connections_ever == 2


def test_421_is_uncharged_and_the_rest_of_the_batch_goes_out_in_the_new_session(bench, connect):
    server = bench.serve(Script(max_messages=2))
    journal = Log()
    assert connect(server).send_messages([message(str(n)) for n in range(5)], journal=journal) == 5
    assert [len(session.transactions) for session in server.sessions] == [2, 2, 1]
    assert [call for call, _ in journal.calls].count("beginning") == 5
    assert [call for call, _ in journal.calls].count("settled") == 5


def test_each_message_may_be_sent_away_once(bench, connect):
    server = bench.serve(Script(mail=["421 bye", OK, "421 bye", OK]))
    assert connect(server).send_messages([message("1"), message("2")]) == 2
    assert server.connections_ever == 3


def test_a_relay_that_is_gone_in_mid_batch_leaves_the_rest_untouched(bench, connect):
    server = bench.serve(Script(greeting=[OK, "421 4.3.2 busy"], mail=[OK, Drop(after="421 bye")]))
    backend = connect(server)
    batch = [message(str(n)) for n in range(4)]
    journal = Log()
    with pytest.raises(MailerUnavailable) as caught:
        backend.send_messages(batch, journal=journal)
    assert caught.value.trouble is Trouble.GREETING
    assert [set(kinds(one).values()) for one in batch] == [{ACCEPTED}, set(), set(), set()]
    assert [call for call in journal.calls if call[0] == "settled"] == [("settled", "0")]
    assert ("beginning", "2") not in journal.calls
    assert backend.connection is None
    server.wait_closed()


def test_a_relay_that_is_gone_in_mid_batch_is_not_raised_if_the_backend_fails_silently(bench, connect):
    server = bench.serve(Script(greeting=[OK, "421 busy"], mail=[OK, "421 bye"]))
    batch = [message(str(n)) for n in range(3)]
    assert connect(server, fail_silently=True).send_messages(batch) == 1
    assert [bool(one.outcomes) for one in batch] == [True, False, False]


def test_a_lost_connection_and_no_way_back_keeps_the_outcome_of_the_message_it_hit(bench, connect):
    server = bench.serve(Script(greeting=[OK, "554 no"], dot=[DROP]))
    batch = [message("1"), message("2")]
    journal = Log()
    with pytest.raises(MailerUnavailable):
        connect(server).send_messages(batch, journal=journal)
    assert set(kinds(batch[0]).values()) == {IN_DOUBT}
    assert batch[1].outcomes == {}
    assert journal.calls[-1] == ("settled", "1")


def test_a_relay_that_wants_a_login_first_is_unavailable_and_rejects_nobody(bench, connect):
    server = bench.serve(Script(require_auth=True, users={"u": "p"}))
    sent = message()
    with pytest.raises(MailerUnavailable) as caught:
        connect(server).send_messages([sent])
    assert caught.value.trouble is Trouble.AUTH_REFUSED
    assert sent.outcomes == {}
    server.wait_closed()


def test_outcomes_of_an_earlier_try_do_not_stay(bench, connect):
    server = bench.serve(Script(greeting="554 no"))
    sent = message()
    sent.outcomes = {A: Outcome(ACCEPTED)}
    with pytest.raises(MailerUnavailable):
        connect(server).send_messages([sent])
    assert sent.outcomes == {}


# The journal.


def test_the_journal_hears_of_each_message_in_order_and_before_the_dot(bench, connect):
    server = bench.serve()
    complete = []

    def commit(_):
        complete.append(len(server.complete))
        return True

    journal = Log(commit=commit)
    connect(server).send_messages([message("1"), message("2")], journal=journal)
    assert journal.calls == [(call, subject) for subject in "12" for call in ("beginning", "committing", "settled")]
    assert complete == [0, 1]
    assert [bool(outcomes) for _, _, outcomes in journal.heard] == [False, False, True] * 2


def test_a_message_that_may_not_begin_is_left_untouched_and_the_next_goes_out(bench, connect):
    journal = Log(begin=lambda one: one.subject != "1")
    batch = [message("1"), message("2")]
    assert connect(bench.serve()).send_messages(batch, journal=journal) == 1
    assert [bool(one.outcomes) for one in batch] == [False, True]
    assert ("settled", "1") not in journal.calls


def test_a_message_that_may_not_be_committed_is_never_ended_and_the_next_goes_out(bench, connect):
    server = bench.serve()
    journal = Log(commit=lambda one: one.subject != "1")
    batch = [message("1"), message("2")]
    assert connect(server).send_messages(batch, journal=journal) == 1
    assert [bool(one.outcomes) for one in batch] == [False, True]
    assert ("settled", "1") not in journal.calls
    assert len(server.complete) == 1
    assert server.connections_ever == 2


def test_a_journal_that_cannot_write_stops_the_batch_without_a_dot(bench, connect):
    server = bench.serve()

    def fail(_):
        raise OSError("the ledger is gone")

    batch = [message("1"), message("2")]
    with pytest.raises(OSError, match="ledger"):
        connect(server).send_messages(batch, journal=Log(commit=fail))
    server.wait_closed()
    assert server.complete == []
    assert batch[1].outcomes == {}


def test_a_rejected_message_is_settled_too(bench, connect):
    journal = Log()
    connect(bench.serve(), fail_silently=True).send_messages([Unrenderable("bad", "", "s@x.org", [A])], journal=journal)
    assert journal.calls == [("beginning", "bad"), ("settled", "bad")]


# Threads and subclasses.


def test_two_threads_may_share_a_backend(bench, connect):
    server = bench.serve()
    backend = connect(server)
    counts = []
    start = threading.Barrier(4)

    def run(name):
        start.wait()
        for number in range(5):
            batch = [message(f"{name}-{number}-{n}") for n in range(3)]
            counts.append(backend.send_messages(batch))

    threads = [threading.Thread(target=run, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [3] * 20
    subjects = {one.content.split(b"Subject: ")[1].split(b"\r\n")[0] for one in server.accepted}
    assert len(subjects) == 60
    server.wait_closed()
    assert backend.connection is None


def test_a_subclass_with_its_own_open_and_close_is_asked_whenever_a_session_is_opened_or_closed(bench, connect):
    calls = []

    class Own(EmailBackend):
        def open(self):
            calls.append("open")
            super().open()  # and forgets to say what it did

        def close(self):
            calls.append("close")
            super().close()

    server = bench.serve(Script(mail=[OK, "421 bye"]))
    backend = connect(server, Own)
    assert backend.send_messages([message("1"), message("2")]) == 2
    assert calls == ["open", "close", "open", "close"]
    server.wait_closed()


def test_a_subclass_that_puts_something_else_in_place_of_the_session_is_told(bench, connect):
    class Own(EmailBackend):
        def open(self):
            self.connection: Any = object()
            return True

        def close(self):
            self.connection = None

    with pytest.raises(MailerUnavailable, match="super") as caught:
        connect(bench.serve(), Own).send_messages([message()])
    assert caught.value.trouble is Trouble.CONFIGURATION


def test_a_subclass_may_bring_its_own_tls_context(bench, connect, certificates):
    class Own(EmailBackend):
        @property
        def ssl_context(self):
            return certificates.client()

    server = bench.serve(tls=certificates.server())
    assert connect(server, Own, host="localhost", use_tls=True).send_messages([message()]) == 1
    assert server.sessions[0].is_tls


@pytest.mark.parametrize("kind", ["use_tls", "use_ssl"])
def test_tls_with_a_file_of_authorities_and_a_login(bench, connect, certificates, kind, tmp_path):
    server = bench.serve(
        Script(users={"u": "p"}, require_auth=True), tls=certificates.server(), implicit_tls=kind == "use_ssl"
    )
    backend = connect(
        server,
        host="localhost",
        username="u",
        password="p",
        ssl_cafile=certificates.write_authority(tmp_path / "ca.pem"),
        **{kind: True},
    )
    assert backend.send_messages([message(), message()]) == 2
    assert server.sessions[0].user == "u"


def test_the_repr_shows_no_password():
    assert "s3cret" not in repr(EmailBackend(password="s3cret"))


def test_a_message_of_another_project_is_sent_by_its_shape_alone(bench, connect):
    class Foreign:
        from_email = "f@example.com"

        def recipients(self):
            return [A]

        def message(self):
            return MIMEText("b")

    sent = Foreign()
    assert connect(bench.serve()).send_messages([sent]) == 1
    assert kinds(sent) == {A: ACCEPTED}
