"""The mixin for unittest, as its users have it: `python -m unittest` in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import unittest
from pathlib import Path

import pytest

from mailworker.testing import MailTestMixin
from tests.processes import clean_environment

CASES = """
import unittest
import mailworker
from mailworker.testing import MailTestMixin

class OutboxTest(MailTestMixin, unittest.TestCase):
    def setUp(self):
        # It calls no super().setUp(), and mail of a set-up counts.
        mailworker.send_mail("Welcome", "Text.", None, ["ann@example.com"])

    def test_mail_is_kept(self):
        self.assertIs(mailworker.outbox, self.mail_outbox)
        self.assert_mail_sent(subject="Welcome", to="ann@example.com")
        self.assert_no_mail_sent(subject="Goodbye")

    def test_each_test_has_an_outbox_of_its_own(self):
        self.assertEqual(len(self.mail_outbox), 1)

    def test_time_passes(self):
        mailworker.send_mail("Reminder", "Text.", None, ["ann@example.com"], delay=3600)
        self.assertEqual(self.run_due(after=7200), 1)
        self.assert_mail_sent(subject="Reminder")

    def test_time_has_come_back(self):
        mailworker.send_mail("Reminder", "Text.", None, ["ann@example.com"], delay=3600)
        self.assertEqual(self.run_due(), 0)

    @unittest.expectedFailure
    def test_a_failure_is_one(self):
        self.assert_no_mail_sent()

class ServerTest(MailTestMixin, unittest.IsolatedAsyncioTestCase):
    async def test_a_server_gets_the_mail_from_then_on(self):
        server = self.start_smtp_server()
        server.script(rcpt={"bob@example.com": "550 5.1.1 unknown"})
        mailworker.send_mail("Hello", "Text.", None, ["ann@example.com"])
        with self.assertRaises(mailworker.DeliveryFailed):
            mailworker.send_mail("Hello", "Text.", None, ["bob@example.com"])
        self.assert_mail_sent(among=server, to="ann@example.com")
        self.assertEqual(self.mail_outbox, [])
"""

WORKER = """
class WorkerTest(MailTestMixin, unittest.TestCase):
    def test_a_worker_delivers(self):
        worker, server = self.start_mail_worker()
        (mail_id,) = mailworker.enqueue(mailworker.EmailMessage("Hello", "Text.", None, ["ann@example.com"]))
        worker.wait_until_drained()
        self.assert_mail_sent(among=server, to="ann@example.com")
        self.assertEqual(mailworker.status(mail_id).attempts, 1)

    test_another_one_too = test_a_worker_delivers
"""


def run(folder: Path, source: str, *command: str) -> str:
    (folder / "test_shop.py").write_text(source)
    env = {**clean_environment(), "MAILWORKER_BROKER_URL": "redis://127.0.0.1:1/0"}
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, env=env, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_unittest_has_the_same_as_pytest(tmp_path: Path) -> None:
    output = run(tmp_path, CASES, "unittest")
    assert "Ran 6 tests" in output
    assert output.splitlines()[-1] == "OK (expected failures=1)"


def test_the_mixin_works_under_pytest_too(tmp_path: Path) -> None:
    output = run(tmp_path, CASES, "pytest", "-q", "-p", "no:cacheprovider")
    assert "5 passed, 1 xfailed" in output


@pytest.mark.integration
def test_a_worker_is_shared_by_a_process(tmp_path: Path) -> None:
    assert "Ran 8 tests" in run(tmp_path, CASES + WORKER, "unittest")


def test_mail_of_a_class_set_up_is_kept_from_the_queue_and_from_the_tests(tmp_path: Path) -> None:
    output = run(
        tmp_path,
        """
import unittest
import mailworker
from mailworker.testing import MailTestMixin

class ShopTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        mailworker.send_mail("Account made", "Text.", None, ["ann@example.com"])

class OrderTest(MailTestMixin, ShopTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        mailworker.send_mail("Shop opened", "Text.", None, ["ann@example.com"])

    def test_it_is_no_mail_of_a_test(self):
        self.assert_no_mail_sent()

class Last(unittest.TestCase):
    def test_afterwards_mail_goes_to_the_projects_queue(self):
        with self.assertRaises(mailworker.EnqueueError):
            mailworker.send_mail("Hello", "Text.", None, ["ann@example.com"])
""",
        "unittest",
        "test_shop.OrderTest",
        "test_shop.Last",
    )
    assert "Ran 2 tests" in output


def test_a_mixin_that_would_do_nothing_is_one_sentence() -> None:
    with pytest.raises(TypeError) as caught:

        class OrderTest(unittest.TestCase, MailTestMixin):  # type: ignore[misc]
            pass

    assert str(caught.value) == (
        "OrderTest has MailTestMixin behind unittest.TestCase, where it does nothing; expected class OrderTest(MailTestMixin, ...)"
    )
