"""anymail's backends, by its test backend: what they are given, and what their answers mean."""

from anymail.backends.test import EmailBackend as TestBackend
from anymail.exceptions import (
    AnymailCancelSend,
    AnymailConfigurationError,
    AnymailRequestsAPIError,
    AnymailSerializationError,
)
from anymail.message import AnymailMessage, AnymailRecipientStatus
from anymail.signals import pre_send
from django.core import mail
from django.core.mail import EmailMessage
from django.test import SimpleTestCase
from requests import Response

from mailworker import DeliveryDeferred, DeliveryFailed
from shop.suite.parts import eager

OURS = f"{__name__}.Service"


class Service(TestBackend):
    """anymail's test backend, with an answer of the test's."""

    statuses = {}
    error = None
    sent = []

    def post_to_esp(self, payload, message):
        type(self).sent.append(message)
        if self.error is not None:
            raise type(self).error(self, message)
        return super().post_to_esp(payload, message)

    def parse_recipient_status(self, response, payload, message):
        return {
            each: AnymailRecipientStatus("id", self.statuses.get(each, "sent")) for each in payload.recipient_emails
        }


def failing(status_code):
    def error(backend, message):
        response = Response()
        response.status_code = status_code
        return AnymailRequestsAPIError("no", backend=backend, email_message=message, response=response)

    return error


@eager(OURS)
class Answers(SimpleTestCase):
    def setUp(self):
        Service.sent, Service.statuses, Service.error = [], {}, None

    def send(self, *to, **attributes):
        message = EmailMessage("s", "b", None, list(to or ["ann@example.com"]))
        for name, value in attributes.items():
            setattr(message, name, value)
        message.send()
        return message

    def test_a_message_of_anymails_own_class_arrives_whole(self):
        with eager("anymail.backends.test.EmailBackend"):
            mail.outbox.clear()
            one = AnymailMessage(subject="s", body="b", to=["Ann <ann@example.com>"], tags=["t"], track_opens=True)
            one.attach_inline_image(b"\x89PNG\r\n\x1a\n", "logo.png", subtype="png")
            one.attach_alternative("<b>b</b>", "text/html")
            one.send()
        (got,) = mail.outbox
        params = got.anymail_test_params
        self.assertEqual((params["tags"], params["track_opens"]), (["t"], True))
        self.assertEqual([str(each) for each in params["to"]], ["Ann <ann@example.com>"])
        self.assertTrue(params["attachments"][0].inline)
        self.assertNotIn("metadata", params)

    def test_who_is_refused_beside_others_is_refused_alone(self):
        Service.statuses = {"bob@example.com": "rejected", "cid@example.com": "failed"}
        with self.assertRaises(DeliveryDeferred) as caught:
            self.send("Ann <ann@example.com>", "bob@example.com", "cid@example.com")
        kinds = {each: str(outcome.kind) for each, outcome in caught.exception.outcomes.items()}
        self.assertEqual(
            kinds, {"ann@example.com": "accepted", "bob@example.com": "rejected", "cid@example.com": "deferred"}
        )

    def test_all_refused_is_no_retry(self):
        Service.statuses = {"ann@example.com": "invalid"}
        with self.assertRaises(DeliveryFailed) as caught:
            self.send()
        self.assertNotIsInstance(caught.exception, DeliveryDeferred)

    def test_a_status_tells_what_is_for_ever(self):
        for status_code, kind in (
            (400, DeliveryFailed),
            (422, DeliveryFailed),
            (429, DeliveryDeferred),
            (500, DeliveryDeferred),
        ):
            with self.subTest(status_code):
                Service.error = staticmethod(failing(status_code))
                with self.assertRaises(DeliveryFailed) as caught:
                    self.send()
                self.assertIs(type(caught.exception), kind)
                self.assertIn(f"HTTP {status_code}", caught.exception.outcomes["ann@example.com"].text)

    def test_a_key_that_the_service_does_not_know_is_the_mailers_trouble(self):
        Service.error = staticmethod(failing(401))
        with self.assertRaisesRegex(DeliveryDeferred, "auth-refused"):
            self.send()

    def test_a_backend_that_is_set_up_wrongly_is_the_mailers_trouble(self):
        Service.error = staticmethod(lambda backend, message: AnymailConfigurationError("no key"))
        with self.assertRaisesRegex(DeliveryDeferred, "configuration"):
            self.send()

    def test_a_value_that_no_request_can_hold_is_no_retry(self):
        Service.error = staticmethod(lambda backend, message: AnymailSerializationError(backend=backend))
        with self.assertRaises(DeliveryFailed) as caught:
            self.send()
        self.assertNotIsInstance(caught.exception, DeliveryDeferred)

    def test_a_receiver_that_cancels_ends_it(self):
        def cancel(sender, **_):
            raise AnymailCancelSend

        pre_send.connect(cancel)
        try:
            with self.assertRaises(DeliveryFailed) as caught:
                self.send()
        finally:
            pre_send.disconnect(cancel)
        self.assertIn("pre_send cancelled", caught.exception.outcomes["ann@example.com"].text)
        self.assertEqual(Service.sent, [])
