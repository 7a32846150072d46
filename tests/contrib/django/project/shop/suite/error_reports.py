"""An AdminEmailHandler on the root logger, and a queue that is broken: one report that cannot be sent, and no loop."""

import logging

from django.core import mail
from django.core.mail import EmailMessage
from django.test import TransactionTestCase
from django.utils.log import AdminEmailHandler

from mailworker import EnqueueError, deadline
from shop.suite.parts import NOWHERE, eager, mail_settings


def caused(error, cause):
    error.__cause__ = cause
    return error


class Counting(AdminEmailHandler):
    """Counts how deep it is in itself."""

    depth = deepest = handled = 0

    def emit(self, record):
        cls = type(self)
        cls.handled += 1
        cls.depth += 1
        cls.deepest = max(cls.deepest, cls.depth)
        try:
            super().emit(record)
        finally:
            cls.depth -= 1


class Handled(TransactionTestCase):
    def setUp(self):
        Counting.depth = Counting.deepest = Counting.handled = 0
        self.handler = Counting()
        self.handler.setLevel(logging.ERROR)
        logging.getLogger().addHandler(self.handler)
        # As in a project that leaves it all to its root logger.
        self.kept = logging.getLogger("django").handlers[:]
        logging.getLogger("django").handlers[:] = []

    def tearDown(self):
        logging.getLogger().removeHandler(self.handler)
        logging.getLogger("django").handlers[:] = self.kept

    def test_a_view_that_fails_beside_a_broken_queue_ends_in_one_answer(self):
        self.client.raise_request_exception = False
        with mail_settings(BROKER_URL=NOWHERE):
            self.assertEqual(self.client.get("/broken/").status_code, 500)
        # The view's record, and in the midst of it the queue's own about the report, of which no mail comes.
        self.assertEqual((Counting.handled, Counting.deepest), (2, 2))

    def test_an_error_of_ours_about_a_broken_queue_makes_no_mail(self):
        with mail_settings(BROKER_URL=NOWHERE):
            logging.getLogger("mailworker.queue.producer").error("the spool is away")
        self.assertEqual((Counting.handled, Counting.deepest), (1, 1))

    def test_a_hand_over_that_fails_at_the_commit_is_reported_once_and_makes_no_mail(self):
        with mail_settings(BROKER_URL=NOWHERE):
            self.assertEqual(self.client.get("/order/").status_code, 200)
        self.assertEqual((Counting.handled, Counting.deepest), (1, 1))

    def test_a_report_that_cannot_be_queued_at_all_lets_the_answer_out(self):
        self.client.raise_request_exception = False
        for wrong, said in (
            ({"BROKER_ULR": "x"}, "BROKER_URL"),
            ({"MAX_MESSAGE_SIZE": 1024}, "MAILWORKER_MAX_MESSAGE_SIZE"),
        ):
            with self.subTest(said), mail_settings(**wrong), self.assertLogs("mailworker", "ERROR") as logs:
                self.assertEqual(self.client.get("/broken/").status_code, 500)
                self.assertIn(said, logs.output[0])

    def test_the_report_of_a_queue_that_took_nothing_waits_a_tenth_of_the_time(self):
        waits = []

        class Watched(EmailMessage):
            def recipients(self):
                waits.append(deadline.left())
                return ["ada@example.com"]

        class Handler(logging.Handler):
            def emit(self, record):
                Watched("s", "b").send()

        handler, logger = Handler(), logging.getLogger("shop.orders")
        logger.addHandler(handler)
        try:
            with eager(ENQUEUE_TIMEOUT=50):
                for error in (
                    EnqueueError("away"),
                    RuntimeError("no"),
                    caused(RuntimeError("no"), EnqueueError("away")),
                ):
                    waits.append(None)
                    logger.error("failed", exc_info=(type(error), error, None))
        finally:
            logger.removeHandler(handler)
        ends = [waits[at - 1] for at, each in enumerate(waits) if each is None and at] + [waits[-1]]
        self.assertEqual([left <= 5 for left in ends], [True, False, True])

    def test_where_the_queue_works_the_report_is_mailed(self):
        self.client.raise_request_exception = False
        with eager():
            mail.outbox.clear()
            self.assertEqual(self.client.get("/broken/").status_code, 500)
            self.assertEqual(len(mail.outbox), 1)
            self.assertTrue(mail.outbox[0].mail_id)
            self.assertIn("a view is broken", mail.outbox[0].body)
