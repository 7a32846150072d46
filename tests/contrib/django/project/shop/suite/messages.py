"""Everything that Django sends goes through the queue, and arrives at Django's own backends as Django's own messages."""

from datetime import UTC, datetime
from email.message import Message
from email.mime.image import MIMEImage

import django
from django.contrib.auth.forms import PasswordResetForm
from django.contrib.auth.models import User
from django.core import mail
from django.core.mail import (
    EmailMessage,
    EmailMultiAlternatives,
    mail_admins,
    mail_managers,
    send_mail,
    send_mass_mail,
)
from django.core.management import call_command
from django.test import SimpleTestCase, TransactionTestCase
from django.utils.translation import gettext_lazy

import mailworker
from mailworker.contrib.django.message import django_message
from mailworker.mail.codec import Codec
from mailworker.testing.script import Script
from mailworker.testing.smtpd import ScriptedServer
from shop.suite.parts import eager

SMTP = "django.core.mail.backends.smtp.EmailBackend"


@eager()
class WhatDjangoSends(TransactionTestCase):
    """Django's locmem backend is the relay here: what is in its outbox went through codec and pipeline."""

    def setUp(self):
        mail.outbox.clear()

    def assert_queued(self, *subjects):
        self.assertEqual([each.subject for each in mail.outbox], list(subjects))
        self.assertTrue(all(each.mail_id for each in mail.outbox), "one did not go through the queue")

    def test_send_mail(self):
        self.assertEqual(send_mail("s", "b", None, ["ann@example.com"], html_message="<b>b</b>"), 1)
        self.assert_queued("s")
        (one,) = mail.outbox
        self.assertIs(type(one), EmailMultiAlternatives)
        self.assertEqual(one.alternatives[0].content, "<b>b</b>")
        self.assertEqual((one.from_email, one.to), ("shop@example.com", ["ann@example.com"]))

    def test_send_mass_mail(self):
        self.assertEqual(send_mass_mail([(f"s{n}", "b", None, [f"r{n}@example.com"]) for n in range(3)]), 3)
        self.assert_queued("s0", "s1", "s2")
        self.assertTrue(all(type(each) is EmailMessage for each in mail.outbox))

    def test_mail_to_admins_and_managers(self):
        mail_admins("a", "b", html_message="<b>b</b>")
        mail_managers("m", "b")
        self.assert_queued("[Django] a", "[Django] m")

    def test_the_command_that_sends_a_test_mail(self):
        call_command("sendtestemail", "ann@example.com", "--admins")
        self.assertEqual(len(mail.outbox), 2)
        self.assertTrue(mail.outbox[0].subject.startswith("Test email from"))
        self.assertTrue(mail.outbox[0].mail_id)

    def test_a_password_reset(self):
        User.objects.create_user("ann", "ann@example.com", "secret")
        form = PasswordResetForm({"email": "ann@example.com"})
        self.assertTrue(form.is_valid())
        form.save(domain_override="shop.example.com")
        self.assertEqual([each.to for each in mail.outbox], [["ann@example.com"]])
        self.assertIn("http://shop.example.com/reset/", mail.outbox[0].body)

    def test_a_lazy_subject(self):
        send_mail(gettext_lazy("Password reset"), gettext_lazy("Hello"), None, ["ann@example.com"])
        self.assert_queued("Password reset")

    def test_an_alternative_that_is_bytes(self):
        one = EmailMultiAlternatives("s", "b", None, ["ann@example.com"])
        one.attach_alternative("BEGIN:VCALENDAR\nSUMMARY:é".encode(), "text/calendar; method=REQUEST")
        one.attach_alternative(b"\x00", "application/x-amp")
        one.send()
        (got,) = mail.outbox
        self.assertEqual(tuple(got.alternatives[0]), ("BEGIN:VCALENDAR\nSUMMARY:é", "text/calendar; method=REQUEST"))
        self.assertEqual(tuple(got.alternatives[1]), (b"\x00", "application/x-amp"))
        self.assertIsInstance(one.alternatives[0][0], bytes)
        one.attach_alternative("é".encode("latin-1"), "text/html")
        with self.assertRaisesRegex(TypeError, "decode it"):
            one.send()
        self.assertIsInstance(one.alternatives[0][0], bytes)

    def test_a_message_with_everything(self):
        one = EmailMultiAlternatives(
            "s",
            "b",
            "Shop <shop@example.com>",
            ["Ann <ann@example.com>"],
            bcc=["bcc@example.com"],
            cc=["cc@example.com"],
            reply_to=["re@example.com"],
            headers={"X-Own": "yes"},
        )
        one.attach("a.csv", "a,b", "text/csv")
        one.attach("b.bin", b"\x00\xff" * 50_000, "application/octet-stream")
        image = MIMEImage(b"\x89PNG", "png")
        image.add_header("Content-ID", "<logo>")
        one.attach(image)
        one.attach_alternative("<b>b</b>", "text/html")
        one.content_subtype = "plain"
        one.encoding = "utf-8"
        one.own_note = {"n": 1}
        one.send()
        (got,) = mail.outbox
        for name in ("subject", "body", "from_email", "to", "cc", "bcc", "reply_to", "encoding", "own_note"):
            self.assertEqual(getattr(got, name), getattr(one, name), name)
        self.assertEqual(got.extra_headers["X-Own"], "yes")
        self.assertEqual(got.attachments[0], one.attachments[0])
        self.assertEqual(bytes(got.attachments[1].content), b"\x00\xff" * 50_000)
        self.assertEqual(got.attachments[2]["Content-ID"], "<logo>")
        self.assertTrue(got.body_contains("b"))
        got.attach("c.txt", "later", "text/plain")
        self.assertIn(b"c.txt", got.message().as_bytes())

    def test_the_attributes_that_anymail_reads(self):
        asked = {
            "tags": ["welcome"],
            "metadata": {"order": "7"},
            "template_id": "t-1",
            "merge_data": {"ann@example.com": {"name": "Ann"}},
            "merge_global_data": {"shop": "x"},
            "merge_metadata": {"ann@example.com": {"id": 1}},
            "merge_headers": {"ann@example.com": {"List-Unsubscribe": "<https://x/>"}},
            "esp_extra": {"pool": "one", "nested": [1, 2.5, None]},
            "send_at": datetime(2035, 1, 1, tzinfo=UTC),
            "track_opens": True,
            "track_clicks": False,
            "envelope_sender": "bounces@example.com",
        }
        one = EmailMessage("s", "b", None, ["ann@example.com"])
        for name, value in asked.items():
            setattr(one, name, value)
        one.send()
        (got,) = mail.outbox
        self.assertEqual({name: getattr(got, name) for name in asked}, asked)

    def test_a_class_that_renders_itself_is_sent_as_it_rendered(self):
        class Signed(EmailMessage):
            def message(self, **kwargs):
                made = super().message(**kwargs)
                made["X-Signature"] = f"signed {self.subject}"
                return made

        Signed("s", "b", None, ["ann@example.com"]).send()
        (got,) = mail.outbox
        self.assertIsInstance(got, EmailMessage)
        self.assertEqual(got.message()["X-Signature"], "signed s")
        self.assertEqual(got.recipients(), ["ann@example.com"])

    def test_mailworkers_own_message_arrives_as_djangos(self):
        mailworker.send_mail("s", "b", None, ["ann@example.com"])
        self.assertIsInstance(mail.outbox[0], EmailMessage)


class DjangosSmtpBackend(SimpleTestCase):
    def deliver(self, *messages, script=None):
        with (
            ScriptedServer(script or Script()) as relay,
            eager(SMTP, {"host": relay.host, "port": relay.port}),
        ):
            for each in messages:
                each.send()
            return relay.accepted

    def test_it_sends_what_was_queued(self):
        one = EmailMultiAlternatives("Grüße", "häuser\n.\n", None, ["Ann <ann@example.com>"], bcc=["bob@example.com"])
        one.attach_alternative("<b>b</b>", "text/html")
        (got,) = self.deliver(one)
        self.assertEqual(got.recipients, ["ann@example.com", "bob@example.com"])
        self.assertNotIn(b"bob@example.com", got.content)
        self.assertIn(b"Message-ID: <", got.content)
        self.assertNotRegex(got.content, rb"(?<!\r)\n")

    def test_a_class_that_renders_itself_goes_out_with_the_line_ends_of_smtp(self):
        class Signed(EmailMessage):
            def message(self, **kwargs):
                made = super().message(**kwargs)
                made["X-Signature"] = "yes"
                return made

        (got,) = self.deliver(Signed("s", "one\ntwo\n", None, ["ann@example.com"]))
        self.assertIn(b"X-Signature: yes\r\n", got.content)
        self.assertNotRegex(got.content, rb"(?<!\r)\n")

    def test_a_refusal_is_the_mails_and_a_relay_that_is_away_is_not(self):
        with self.assertRaises(mailworker.DeliveryFailed) as caught:
            self.deliver(
                EmailMessage("s", "b", None, ["Ann <ann@example.com>"]),
                script=Script(rcpt={"ann@example.com": "550 5.1.1 nobody"}),
            )
        self.assertEqual(caught.exception.outcomes["ann@example.com"].reply.code, 550)
        with eager(SMTP, {"host": "127.0.0.1", "port": 1}), self.assertRaises(mailworker.DeliveryDeferred) as caught:
            EmailMessage("s", "b", None, ["ann@example.com"]).send()
        self.assertIn("connect", str(caught.exception))


class SecondTry(SimpleTestCase):
    """Of a second try only those who are left get the message, whatever its headers show."""

    def decoded(self, message):
        decoded = Codec().decode(Codec().encode(message))
        decoded.restrict_to(["bob@example.com"])
        return decoded

    def composed(self, kind=EmailMessage):
        return kind(
            "s", "b", "f@example.com", ["Ann <ann@example.com>", "Bob <bob@example.com>"], cc=["cc@example.com"]
        )

    def test_an_smtp_backend_is_told_by_recipients_and_shows_the_lists(self):
        for kind in (EmailMessage, EmailMultiAlternatives):
            made = django_message(self.decoded(self.composed(kind)))
            self.assertIsInstance(made, kind)
            self.assertEqual(made.recipients(), ["bob@example.com"])
            self.assertIn("ann@example.com", made.message()["To"])

    def test_a_backend_that_reads_the_lists_finds_only_them_there(self):
        made = django_message(self.decoded(self.composed()), is_list_read=True)
        self.assertEqual((made.to, made.cc, made.bcc), (["Bob <bob@example.com>"], [], []))

    def test_a_class_that_renders_itself_keeps_its_bytes(self):
        class Own(EmailMessage):
            def recipients(self):
                return ["ann@example.com", "bob@example.com"]

        one = self.composed(Own)
        frozen = Codec().decode(Codec().encode(one))
        made = django_message(frozen)
        self.assertEqual(made.recipients(), ["ann@example.com", "bob@example.com"])
        frozen.restrict_to(["bob@example.com"])
        made = django_message(frozen)
        self.assertEqual(made.recipients(), ["bob@example.com"])
        self.assertIsInstance(made.message(), Message)
        self.assertEqual(made.message().as_bytes(), frozen.message().as_bytes())
        if django.VERSION >= (6, 0):
            from email.policy import SMTP as policy  # noqa: N811 - that is its name

            self.assertEqual(made.message(policy=policy).as_bytes(), frozen.message().as_bytes(linesep="\r\n"))
