"""Mail goes with the transaction that it is sent in."""

import logging

from django.contrib.auth.models import Group
from django.core.mail import EmailMessage, send_mail
from django.db import transaction
from django.test import TestCase, TransactionTestCase

import mailworker
from mailworker import ConfigurationError, EnqueueError, InvalidAddress, UnserializableMessage
from mailworker.queue import eager as eager_queue
from shop.suite.parts import NOWHERE, SilentRedis, eager, is_queued, mail_settings


def message(to="ann@example.com"):
    return EmailMessage("s", "b", None, [to])


@mail_settings()
class Commit(TransactionTestCase):
    databases = {"default", "other"}

    def test_a_commit_hands_the_mail_over_and_not_before(self):
        one = message()
        with transaction.atomic():
            self.assertEqual(one.send(), 1)
            self.assertRegex(one.mail_id, r"^[0-9a-f]{32}$")
            self.assertFalse(is_queued(one.mail_id))
        self.assertEqual(mailworker.status(one.mail_id).state, "due")

    def test_a_rollback_sends_nothing(self):
        one = message()
        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            one.send()
            raise ZeroDivisionError
        self.assertFalse(is_queued(one.mail_id))

    def test_a_savepoint_that_is_rolled_back_takes_its_mail_along_and_no_other(self):
        kept, gone = message(), message()
        with transaction.atomic():
            kept.send()
            with self.assertRaises(ZeroDivisionError), transaction.atomic():
                gone.send()
                raise ZeroDivisionError
            self.assertFalse(is_queued(kept.mail_id))
        self.assertTrue(is_queued(kept.mail_id))
        self.assertFalse(is_queued(gone.mail_id))

    def test_without_a_transaction_it_goes_at_once(self):
        one = message()
        self.assertEqual(one.send(), 1)
        self.assertTrue(is_queued(one.mail_id))

    def test_a_message_that_was_rolled_back_can_be_sent_again_as_another_mail(self):
        one = message()
        with transaction.atomic():
            one.send()
            transaction.set_rollback(True)
        first = one.mail_id
        one.send()
        self.assertNotEqual(one.mail_id, first)
        self.assertTrue(is_queued(one.mail_id))

    def test_what_is_sent_is_what_the_message_was_at_send(self):
        one = message()
        with transaction.atomic():
            one.send()
            one.to = ["bob@example.org"]
        self.assertEqual(mailworker.status(one.mail_id).state, "due")
        with eager():
            self.outbox.clear()
            with transaction.atomic():
                two = message()
                two.send()
                two.subject = "changed"
            self.assertEqual([each.subject for each in self.outbox], ["s"])

    @property
    def outbox(self):
        from django.core import mail

        return mail.outbox

    def test_a_transaction_of_another_database_is_not_waited_for(self):
        one = message()
        with transaction.atomic(using="other"):
            one.send()
            self.assertTrue(is_queued(one.mail_id))

    def test_the_database_that_is_named_is_the_one_that_is_waited_for(self):
        with mail_settings(ON_COMMIT_USING="other"):
            one, two = message(), message()
            with transaction.atomic(using="other"), transaction.atomic():
                one.send()
                self.assertFalse(is_queued(one.mail_id))
            self.assertTrue(is_queued(one.mail_id))
            with transaction.atomic():
                two.send()
                self.assertTrue(is_queued(two.mail_id))

    def test_a_name_of_no_database_is_an_error_of_the_caller(self):
        with mail_settings(ON_COMMIT_USING="nowhere"), self.assertRaisesRegex(ConfigurationError, "ON_COMMIT_USING"):
            message().send()

    def test_it_can_be_turned_off(self):
        one = message()
        with mail_settings(ON_COMMIT=False), transaction.atomic():
            one.send()
            transaction.set_rollback(True)
        self.assertTrue(is_queued(one.mail_id))

    def test_mailworkers_own_messages_and_their_options_wait_as_well(self):
        one = mailworker.EmailMessage("s", "b", None, ["ann@example.com"])
        with transaction.atomic():
            one.send(lane="high", delay=3600, key="order-7")
            self.assertFalse(is_queued(one.mail_id))
        status = mailworker.status(one.mail_id)
        self.assertEqual(status.lane, "high")
        with transaction.atomic():
            again = mailworker.EmailMessage("s", "b", None, ["ann@example.com"])
            again.send(delay=3600, key="order-7")
        self.assertEqual(again.mail_id, one.mail_id)

    def test_what_is_wrong_with_a_message_is_raised_at_send_and_the_transaction_is_the_callers(self):
        bad = message()
        bad.context = object()
        with transaction.atomic():
            Group.objects.create(name="kept")
            with self.assertRaises(UnserializableMessage):
                bad.send()
            with self.assertRaises(InvalidAddress):
                message("no address").send()
            with self.assertRaises(ValueError):
                EmailMessage("two\nlines", "b", None, ["ann@example.com"]).send()
        self.assertTrue(Group.objects.filter(name="kept").exists())

    def test_eager_mail_is_delivered_at_the_commit(self):
        with eager():
            eager_queue.reset()
            self.outbox.clear()
            with transaction.atomic():
                message().send()
                self.assertEqual(self.outbox, [])
            self.assertEqual(len(self.outbox), 1)

    def test_an_error_report_does_not_wait_for_what_is_rolled_back(self):
        from django.utils.log import AdminEmailHandler

        logger, handler = logging.getLogger("shop.orders"), AdminEmailHandler()
        logger.addHandler(handler)
        try:
            with eager():
                self.outbox.clear()
                with transaction.atomic():
                    logger.error("no stock")
                    transaction.set_rollback(True)
                self.assertEqual([each.subject for each in self.outbox], ["[Django] ERROR: no stock"])
        finally:
            logger.removeHandler(handler)


@mail_settings(BROKER_URL=NOWHERE)
class BrokenQueue(TransactionTestCase):
    def test_it_is_logged_without_an_address_and_the_other_callbacks_run(self):
        ran, one = [], EmailMessage("s", "b", None, ["Ann <ann@example.com>"], bcc=["bob@example.org"])
        with self.assertLogs("mailworker", "ERROR") as logs, transaction.atomic():
            transaction.on_commit(lambda: ran.append("before"))
            self.assertEqual(one.send(), 1)
            transaction.on_commit(lambda: ran.append("behind"))
        self.assertEqual(ran, ["before", "behind"])
        (record,) = logs.records
        self.assertIn(f"mail_id={one.mail_id} to example.com,example.org: the spool did not take", record.getMessage())
        self.assertNotRegex(record.getMessage(), "ann|bob")
        self.assertEqual((record.mail_ids, record.domains), ([one.mail_id], ["example.com", "example.org"]))

    def test_the_response_goes_out_and_the_transaction_stands(self):
        with self.assertLogs("mailworker", "ERROR"):
            response = self.client.get("/order/")
        self.assertEqual((response.status_code, response.content), (200, b"thanks"))
        self.assertTrue(Group.objects.filter(name="order").exists())

    def test_it_is_raised_where_the_settings_say_so(self):
        with mail_settings(BROKER_URL=NOWHERE, ON_COMMIT_FAILURE="raise"):
            with self.assertRaises(EnqueueError), transaction.atomic():
                Group.objects.create(name="order")
                message().send()
            self.assertTrue(Group.objects.filter(name="order").exists())

    def test_who_asked_to_fail_silently_hears_nothing_either_way(self):
        for failure in ("log", "raise"):
            with (
                mail_settings(BROKER_URL=NOWHERE, ON_COMMIT_FAILURE=failure),
                self.assertLogs("mailworker", "ERROR"),
                transaction.atomic(),
            ):
                send_mail("s", "b", None, ["ann@example.com"], fail_silently=True)

    def test_without_a_transaction_the_error_is_the_callers(self):
        with self.assertRaises(EnqueueError):
            message().send()

    def test_nothing_is_asked_of_the_queue_before_the_commit(self):
        with transaction.atomic():
            message().send()
            transaction.set_rollback(True)


class SilentQueue(TransactionTestCase):
    """One that says nothing costs each who asks it the whole time that is allowed."""

    def send(self, transactions, mails):
        with (
            SilentRedis() as redis,
            mail_settings(BROKER_URL=redis.url, ENQUEUE_TIMEOUT=0.3),
            self.assertLogs("mailworker", "ERROR") as logs,
        ):
            for _ in range(transactions):
                with transaction.atomic():
                    for _ in range(mails):
                        message().send()
            return len(logs.records), len(redis.taken)

    def test_the_mails_of_one_transaction_wait_for_it_once(self):
        failed, asked = self.send(1, 5)
        self.assertEqual(failed, 5)
        self.assertEqual(asked, self.send(1, 1)[1])

    def test_the_next_transaction_asks_it_again(self):
        self.assertEqual(self.send(2, 2)[1], 2 * self.send(1, 1)[1])


@mail_settings()
class Captured(TestCase):
    def test_a_silent_queue_in_one_capture_is_not_held_against_the_next(self):
        with (
            SilentRedis() as redis,
            mail_settings(BROKER_URL=redis.url, ENQUEUE_TIMEOUT=0.3),
            self.assertLogs("mailworker", "ERROR"),
            self.captureOnCommitCallbacks(execute=True),
        ):
            message().send()
        one = message()
        with self.captureOnCommitCallbacks(execute=True):
            one.send()
        self.assertTrue(is_queued(one.mail_id))

    def test_a_test_case_captures_the_hand_over(self):
        one = message()
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            one.send()
            self.assertFalse(is_queued(one.mail_id))
        self.assertEqual(len(callbacks), 1)
        self.assertTrue(is_queued(one.mail_id))

    def test_what_is_not_executed_is_not_sent(self):
        one = message()
        with self.captureOnCommitCallbacks():
            one.send()
        self.assertFalse(is_queued(one.mail_id))

    def test_a_view_tells_what_cannot_be_carried(self):
        response = self.client.get("/unsendable/")
        self.assertIn(b"context", response.content)
        self.assertTrue(Group.objects.filter(name="kept").exists())
