"""`manage.py check` says what would go wrong with the first mail."""

import django
from django.core.checks import run_checks
from django.test import SimpleTestCase, override_settings

from mailworker import settings
from mailworker.queue import eager as eager_queue
from shop import settings as project
from shop.suite.parts import mail_settings

HAS_MAILERS = django.VERSION >= (6, 1)


def default_backend(path):
    if HAS_MAILERS:
        return override_settings(MAILERS={"default": {"BACKEND": path}, "relay": {"OPTIONS": {"host": "h"}}})
    return override_settings(EMAIL_BACKEND=path)


class Checks(SimpleTestCase):
    def found(self):
        return {each.id: f"{each.msg} {each.hint}" for each in run_checks(tags=["mailworker"])}

    def test_a_project_that_is_right_has_nothing_to_hear(self):
        with mail_settings():
            self.assertEqual(self.found(), {})

    def test_a_setting_that_is_wrong(self):
        with mail_settings(LEASE=0):
            self.assertIn(
                "MAILWORKER_LEASE (from MAILWORKER in Django's settings) is 0", self.found()["mailworker.E001"]
            )
        with mail_settings(BROKER_ULR="x"):
            self.assertIn("did you mean BROKER_URL?", self.found()["mailworker.E001"])

    def test_a_delivery_backend_that_is_the_queue(self):
        with mail_settings(relay=project.QUEUE):
            self.assertIn("queue", self.found()["mailworker.E001"])
        with mail_settings(relay="shop.backends.Audited"):
            self.assertIn("for ever", self.found()["mailworker.E002"])

    def test_a_worker_does_not_deliver_with_such_a_one_either(self):
        eager_queue.reset()
        with (
            mail_settings(relay="shop.backends.Audited", TASK_ALWAYS_EAGER=True),
            self.assertRaisesRegex(Exception, "for ever"),
        ):
            from django.core.mail import send_mail

            send_mail("s", "b", None, ["ann@example.com"])

    def test_a_delivery_backend_that_is_not_there(self):
        with mail_settings(relay="shop.backends.Nothing"):
            self.assertIn("no backend is there", self.found()["mailworker.E003"])

    def test_options_that_a_backend_does_not_take(self):
        if HAS_MAILERS:
            with mail_settings(options={"colour": "red"}):
                self.assertIn("cannot be built", self.found()["mailworker.E003"])

    def test_options_that_the_queue_does_not_take(self):
        if HAS_MAILERS:
            default = {"BACKEND": project.QUEUE, "OPTIONS": {"host": "h"}}
            with override_settings(MAILERS={"default": default, "relay": {"OPTIONS": {"host": "h"}}}):
                self.assertIn("the queue backend got host", self.found()["mailworker.E003"])

    def test_a_class_that_is_no_backend(self):
        with mail_settings(relay="shop.backends.Sender"):
            self.assertIn("has no open, no close. Make it a subclass", self.found()["mailworker.E003"])

    def test_what_a_backend_says_is_missing(self):
        with mail_settings(relay="anymail.backends.mailgun.EmailBackend"):
            self.assertRegex(self.found()["mailworker.E003"].lower(), "api_key")

    def test_a_backend_that_cannot_be_imported(self):
        with mail_settings(relay="shop.backends.broken.EmailBackend"):
            self.assertIn("cannot be built (ZeroDivisionError)", self.found()["mailworker.E003"])

    def test_the_queue_that_knows_nothing_of_transactions(self):
        with default_backend("mailworker.mail.backends.queue.EmailBackend"):
            self.assertIn("rolled back", self.found()["mailworker.W002"])
            with override_settings(MAILWORKER={"ON_COMMIT": False}):
                self.assertEqual(self.found(), {})

    def test_mailers_are_not_where_this_django_looks(self):
        if not HAS_MAILERS:
            path = "django.core.mail.backends.smtp.EmailBackend"
            with override_settings(EMAIL_BACKEND=path, MAILERS={"default": {"BACKEND": project.QUEUE}}):
                self.assertIn("EMAIL_BACKEND", self.found()["mailworker.W001"])

    def test_a_database_that_is_none(self):
        with mail_settings(ON_COMMIT_USING="nowhere"):
            self.assertIn("DATABASES has default, other", self.found()["mailworker.E004"])

    def test_a_celery_app_that_is_none(self):
        with mail_settings(CELERY_APP="shop.nothing:app"):
            self.assertIn("cannot be imported", self.found()["mailworker.E005"])

    def test_mail_that_goes_past_the_queue(self):
        with default_backend("django.core.mail.backends.smtp.EmailBackend"):
            self.assertIn("goes past the queue", self.found()["mailworker.W001"])
        for welcome in ("shop.backends.Audited", "django.core.mail.backends.console.EmailBackend", project.QUEUE):
            with self.subTest(welcome), default_backend(welcome):
                self.assertNotIn("mailworker.W001", self.found())

    def test_a_backend_of_the_projects_own_over_ours_is_the_queue(self):
        with default_backend("shop.backends.Audited"):
            self.assertEqual(settings.current().mailer("default").backend, "shop.backends.Audited")
