"""How a typed program uses mailworker: mypy reads this file, nobody runs it.

A signature that stops accepting what is written here, or that gives back something else, fails the type check.
"""

from __future__ import annotations

import re
import unittest
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from email.mime.image import MIMEImage
from typing import Annotated, assert_type

from celery import Celery
from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette

import mailworker
from mailworker import (
    AccessToken,
    EmailMessage,
    EmailMultiAlternatives,
    Lane,
    MailId,
    MailStatus,
    Outcome,
    OutcomeClass,
    State,
    acancel,
    aenqueue,
    amail_admins,
    amail_managers,
    asend_mail,
    asend_mass_mail,
    astatus,
    bulk,
    cancel,
    configure,
    enqueue,
    get_connection,
    mail_admins,
    mail_managers,
    mailers,
    send_mail,
    send_mass_mail,
    status,
    testing,
)
from mailworker.contrib.fastapi import Mailer, MailerDep, lifespan, mailer_named
from mailworker.contrib.flask import Mailworker
from mailworker.mail.backends.smtp import EmailBackend
from mailworker.mail.template import InlineImage, load
from mailworker.settings import override
from mailworker.sink import Counts, Received, Sink
from mailworker.testing import (
    MailOutbox,
    MailTestMixin,
    MailWorker,
    ReceivedMessage,
    RunDue,
    ScriptedServer,
    assert_mail_sent,
    assert_no_mail_sent,
)


def the_functions() -> None:
    assert_type(send_mail("Subject", "Body", "ann@example.com", ["bob@example.com"]), int)
    assert_type(send_mail("Subject", "Body", None, ("bob@example.com",), fail_silently=True, html_message="<p>"), int)
    send_mail("Subject", "Body", None, ["bob@example.com"], False, "user", "secret", get_connection())
    send_mail("Subject", "Body", None, ["bob@example.com"], at=datetime.now(UTC), lane="bulk")
    send_mail("Subject", "Body", None, ["bob@example.com"], delay=timedelta(minutes=5), lane=Lane.HIGH, expires=3600)
    send_mail("Subject", "Body", None, ["bob@example.com"], using="newsletter", on_in_doubt="hold")
    rows = [("Subject", "Body", "ann@example.com", ["bob@example.com"])]
    assert_type(send_mass_mail(rows), int)
    send_mass_mail(tuple(rows), fail_silently=True, lane="bulk")
    mail_admins("Subject", "Body", html_message="<p>")
    mail_managers("Subject", "Body", fail_silently=True)


def names_that_are_none() -> None:
    mailworker.sned_mail("Subject", "Body", None, ["bob@example.com"])  # type: ignore[attr-defined]
    testing.assert_mail_snet()  # type: ignore[attr-defined]


def messages() -> None:
    message = EmailMessage(
        "Subject",
        "Body",
        "ann@example.com",
        ["bob@example.com"],
        ["eve@example.com"],
        headers={"X-Kind": "receipt"},
        cc=["cid@example.com"],
        reply_to=["dan@example.com"],
    )
    message.attach("report.csv", "a,b\n", "text/csv")
    message.attach("photo.jpg", b"\xff\xd8")
    message.attach(MIMEImage(b"\xff\xd8", "jpeg"))
    message.attach_file("report.pdf")
    message.content_subtype = "html"
    message.encoding = "iso-8859-1"
    assert_type(message.recipients(), list[str])
    assert_type(message.message().as_bytes(), bytes)
    assert_type(message.send(), int)
    assert_type(message.send(fail_silently=True, lane="high", delay=5), int)
    assert_type(message.outcomes, dict[str, Outcome])
    for outcome in message.outcomes.values():
        if outcome.kind is OutcomeClass.REJECTED and outcome.reply is not None:
            assert_type(outcome.reply.code, int)

    letter = EmailMultiAlternatives("Subject", "Body", to=["bob@example.com"])
    letter.attach_alternative("<p>Body</p>", "text/html")
    assert_type(letter.body_contains("Body"), bool)


def connections() -> None:
    with get_connection("mailworker.mail.backends.smtp.EmailBackend", host="127.0.0.1", port=1025) as connection:
        connection.send_messages([EmailMessage(to=["bob@example.com"], connection=connection)])
    mailers["newsletter"].send_messages([EmailMessage(to=["bob@example.com"])])
    assert_type(mailworker.outbox, list[EmailMessage])


def a_token() -> AccessToken:
    return AccessToken("token", expires_at=1_800_000_000)


def tokens() -> None:
    configure(MAILWORKER_OAUTH_TOKEN=a_token)
    EmailBackend(host="smtp.example.com", username="ann@example.com", use_tls=True, token=a_token)
    EmailBackend(token=lambda: "token")
    EmailBackend(token="shop.oauth:token")
    assert_type(a_token().expires_at, float | None)


def the_queue() -> None:
    ids = enqueue(EmailMessage(to=["bob@example.com"]), lane="bulk", expires=timedelta(hours=1))
    assert_type(ids, list[MailId])
    enqueue(EmailMessage(to=[f"{number}@example.com"]) for number in range(10))
    found = status(ids[0])
    assert_type(found, MailStatus | None)
    if found is not None:
        assert_type(found.state, State)
        assert_type(found.outcomes, Mapping[str, Outcome])
    assert_type(cancel(ids[0]), bool)


class Letter(EmailMultiAlternatives):
    pass


def templates() -> None:
    assert_type(EmailMessage.from_template("welcome", {"name": "Ann"}, to=["ann@example.com"]), EmailMultiAlternatives)
    assert_type(Letter.from_template("welcome", language="de", subject="Hello", bcc=["bob@example.com"]), Letter)
    EmailMessage.from_template("welcome", {}, too=["ann@example.com"])  # type: ignore[call-arg]
    content = load("welcome").render({"name": "Ann"})
    assert_type(content.html, str)
    assert_type(content.images, tuple[InlineImage, ...])


async def on_an_event_loop() -> None:
    assert_type(await asend_mail("Subject", "Body", None, ["bob@example.com"]), int)
    await asend_mail("Subject", "Body", None, ["bob@example.com"], html_message="<p>", lane="high", delay=5)
    assert_type(await asend_mass_mail([("Subject", "Body", None, ["bob@example.com"])], fail_silently=True), int)
    await amail_admins("Subject", "Body", html_message="<p>")
    await amail_managers("Subject", "Body", fail_silently=True)
    message = EmailMessage(to=["bob@example.com"])
    assert_type(await message.asend(using="newsletter", at=datetime.now(UTC)), int)
    ids = await aenqueue([message], lane="bulk")
    assert_type(ids, list[MailId])
    await aenqueue(arriving())
    assert_type(await astatus(ids[0]), MailStatus | None)
    assert_type(await acancel(ids[0]), bool)
    assert_type(await mailworker.areplay(ids[0]), bool)
    assert_type(await mailworker.astatus_of_group("order 7"), Mapping[State, int])
    await mailworker.acancel_group("order 7")


async def arriving() -> AsyncIterator[EmailMessage]:
    yield EmailMessage(to=["bob@example.com"])


def in_flask() -> None:
    app = Flask("shop")
    Mailworker(app)
    Mailworker().init_app(app)


def in_fastapi() -> FastAPI:
    app = FastAPI(lifespan=lifespan)

    @app.post("/")
    async def order(mailer: MailerDep, news: Annotated[Mailer, mailer_named("newsletter")]) -> MailStatus | None:
        assert_type(await mailer.send_mail("Subject", "Body", ["bob@example.com"], lane="high"), int)
        assert_type(await news.send(EmailMessage(to=["bob@example.com"])), int)
        (mail_id,) = await mailer.enqueue(EmailMessage(to=["bob@example.com"]))
        return await mailer.status(mail_id)

    Starlette(lifespan=lifespan)
    return app


def set_up(app: Celery) -> None:
    configure(EMAIL_HOST="smtp.example.com", MAILWORKER_BROKER_URL="redis://127.0.0.1:6379/0")
    mailworker.install(app)
    with override(MAILWORKER_TASK_ALWAYS_EAGER=True):
        send_mail("Subject", "Body", None, ["bob@example.com"])


def errors() -> None:
    try:
        send_mail("Subject", "Body", None, ["bob@example.com"])
    except mailworker.EnqueueError as error:
        assert_type(error.accepted, tuple[str, ...])
        assert_type(error.unknown, tuple[str, ...])


def bulks(path: str) -> None:
    filled = mailworker.bulk.send(
        "news-12",
        "news/march",
        path,
        at=datetime(2026, 12, 1, 9, tzinfo=UTC),
        rate="200/s",
        between="mon-fri 08:00-20:00 Europe/Berlin",
        suppress=lambda address: address.endswith("@example.com"),
        on_progress=lambda progress: progress.share,
    )
    assert_type(filled, bulk.Filled)
    assert_type(filled.bad_rows[0].line, int)
    bulk.send("news-13", "news/march", ({"email": f"user{n}@example.com"} for n in range(10)), rate=5)
    bulk.send("news-13", "news/march", path, rates=5)  # type: ignore[call-arg]
    assert_type(bulk.show("news-12"), bulk.Bulk)
    assert_type(bulk.retry_failed("news-12"), int)
    assert_type([line.recipient for line in bulk.report("news-12", failed=True)], list[str])
    assert_type(bulk.retime("news-12", rate=None, between="08:00-20:00 UTC").plan.timetable.rate, float | None)
    assert_type(bulk.verify_unsubscribe("token").address, str)


def the_sink() -> None:
    received: list[Received] = []
    with Sink(port=0, on_message=received.append, refuse=["gone@example.com"]) as sink:
        assert_type(sink.port, int)
        assert_type(sink.wait_for(1, timeout=5), bool)
    assert_type(sink.counts, Counts)


def test_with_fixtures(mail_outbox: MailOutbox, run_due: RunDue) -> None:
    assert_type(mail_outbox, list[EmailMessage])
    assert_type(run_due(after=timedelta(days=1)), int)
    assert_type(run_due(at=datetime.now(UTC)), int)
    assert_type(assert_mail_sent(to="ann@example.com", subject=re.compile("order"), times=None), list[EmailMessage])
    assert_type(assert_mail_sent(among=mail_outbox, to=["ann@example.com"]), list[EmailMessage])
    assert_no_mail_sent(attachments=("a.pdf",))
    assert_mail_sent(sujbect="Order")  # type: ignore[call-overload]


def test_with_servers(smtp_server: ScriptedServer, mailworker_worker: MailWorker) -> None:
    smtp_server.script(rcpt={"ann@example.com": ["450 4.2.0 busy"]}, pipelining=False)
    smtp_server.script(rctp="450 4.2.0 busy")  # type: ignore[call-arg]
    mailworker_worker.wait_until_drained(timeout=5)
    assert_type(assert_mail_sent(among=smtp_server, html="<b>"), list[ReceivedMessage])
    assert_type(smtp_server.messages[0].attachments[0].content, bytes)


class OrderTest(MailTestMixin, unittest.TestCase):
    def test_an_order(self) -> None:
        assert_type(self.mail_outbox, list[EmailMessage])
        worker, server = self.start_mail_worker()
        assert_type(worker, MailWorker)
        assert_type(self.assert_mail_sent(to="ann@example.com"), list[EmailMessage])
        assert_type(self.assert_mail_sent(among=server, to="ann@example.com"), list[ReceivedMessage])
        assert_type(self.assert_mail_sent(among=self.mail_outbox, times=None), list[EmailMessage])
        self.assert_no_mail_sent(subject="Order")
