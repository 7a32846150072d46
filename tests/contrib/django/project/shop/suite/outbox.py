"""Django's own test runner goes on as before: what is sent is in `django.core.mail.outbox`, at once."""

from django.core import mail
from django.core.mail import mail_admins, send_mail
from django.db import transaction
from django.test import TestCase, TransactionTestCase

import mailworker


class InATestCase(TestCase):
    def test_mail_is_in_the_outbox_at_once(self):
        send_mail("s", "b", None, ["ann@example.com"])
        mail_admins("a", "b")
        self.assertEqual([each.subject for each in mail.outbox], ["s", "[Django] a"])
        self.assertFalse(hasattr(mail.outbox[0], "mail_id"))

    def test_the_outbox_is_empty_at_first(self):
        self.assertEqual(mail.outbox, [])

    def test_mail_that_mailworker_is_asked_for_is_there_too(self):
        mailworker.send_mail("s", "b", None, ["ann@example.com"])
        self.assertEqual([each.subject for each in mail.outbox], ["s"])


class InATransactionTestCase(TransactionTestCase):
    def test_mail_is_in_the_outbox_at_once(self):
        with transaction.atomic():
            send_mail("s", "b", None, ["ann@example.com"])
            self.assertEqual(len(mail.outbox), 1)
            transaction.set_rollback(True)
        self.assertEqual(len(mail.outbox), 1)

    def test_a_view_sends_there(self):
        self.client.get("/order/")
        self.assertEqual([each.subject for each in mail.outbox], ["Your order"])
