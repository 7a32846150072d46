"""Delivery status notifications (RFC 3461) by way of the SMTP backend: what is asked for, of whom, and with which id."""

from __future__ import annotations

from email.mime.text import MIMEText
from typing import Any

import pytest

from mailworker import mail, settings
from mailworker.errors import ConfigurationError
from mailworker.mail.backends.smtp import EmailBackend
from mailworker.mail.message import EmailMessage
from mailworker.testing import Script

TO = ["a@example.org", "b+c@example.org"]
OFFERED = Script(dsn=True, size=None)


def message(mail_id: str | None = "0123456789abcdef"):
    made = EmailMessage("hello", "text", "sender@example.com", TO)
    made.mail_id = mail_id
    return made


def said(server):
    """Return what MAIL and RCPT said beside the addresses."""
    return [
        " ".join(command.split(" ")[2:])
        for command in server.sessions[0].commands
        if command.startswith(("MAIL", "RCPT"))
    ]


@pytest.mark.parametrize("pipelining", [True, False])
def test_what_is_asked_for_goes_with_each_message_and_its_id(bench, pipelining):
    server = bench.serve(Script(dsn=True, size=None, pipelining=pipelining))
    backend = EmailBackend(server.host, server.port, dsn_notify=["SUCCESS", "DELAY"], dsn_return="HDRS")
    assert backend.send_messages([message("1"), message("2")]) == 2
    recipients = [
        "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a@example.org",
        "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+2Bc@example.org",
    ]
    assert said(server) == ["RET=HDRS ENVID=1", *recipients, "RET=HDRS ENVID=2", *recipients]


def test_nothing_is_asked_for_without_the_options(bench):
    server = bench.serve(OFFERED)
    EmailBackend(server.host, server.port).send_messages([message()])
    assert said(server) == ["", "", ""]


def test_nothing_is_asked_of_a_relay_that_does_not_offer_it(bench):
    server = bench.serve(Script(dsn=False, size=None))
    backend = EmailBackend(server.host, server.port, dsn_notify="SUCCESS", dsn_return="FULL")
    assert backend.send_messages([message()]) == 1
    assert said(server) == ["", "", ""]


@pytest.mark.parametrize("mail_id", [None, "", "x" * 101, "a\r\nRCPT TO:<victim@example.org>", "j\u00f6rg", 7])
def test_a_message_without_an_id_that_can_be_said_goes_out_without_one(bench, mail_id):
    server = bench.serve(OFFERED)
    EmailBackend(server.host, server.port, dsn_return="FULL").send_messages([message(mail_id)])
    assert said(server) == ["RET=FULL", "", ""]
    assert server.accepted[0].recipients == TO


def test_a_message_of_another_project_is_asked_for_too(bench):
    class Foreign:
        from_email = "f@example.com"

        def recipients(self):
            return TO

        def message(self):
            return MIMEText("b")

    server = bench.serve(OFFERED)
    foreign: Any = Foreign()
    assert EmailBackend(server.host, server.port, dsn_notify="NEVER").send_messages([foreign]) == 1
    assert said(server)[:2] == ["", "NOTIFY=NEVER ORCPT=rfc822;a@example.org"]


def test_a_mailer_has_them_in_its_options(bench):
    server = bench.serve(OFFERED)
    options = {"host": server.host, "port": server.port, "dsn_notify": ["failure"], "dsn_return": "full"}
    table = {"notified": {"BACKEND": "mailworker.mail.backends.smtp.EmailBackend", "OPTIONS": options}}
    with settings.override(MAILERS=table):
        mail.mailers["notified"].send_messages([message("1")])
    assert said(server)[:2] == ["RET=FULL ENVID=1", "NOTIFY=FAILURE ORCPT=rfc822;a@example.org"]


@pytest.mark.parametrize("options", [{"dsn_notify": "ALWAYS"}, {"dsn_return": "NOTHING"}])
def test_a_wrong_word_is_one_sentence_when_the_backend_is_made(options):
    ((name, value),) = options.items()
    with pytest.raises(ConfigurationError) as caught:
        EmailBackend(**options)
    assert str(caught.value).startswith(f"{name} ")
    assert repr(value) in str(caught.value)
    with (
        settings.override(MAILERS={"x": {"BACKEND": "mailworker.mail.backends.smtp.EmailBackend", "OPTIONS": options}}),
        pytest.raises(ConfigurationError, match=name),
    ):
        mail.mailers["x"]
