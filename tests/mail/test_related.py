"""Parts that HTML shows stand beside it in a multipart/related, through the codec as well."""

from __future__ import annotations

from email import message_from_bytes
from email.message import Message
from email.mime.image import MIMEImage
from email.mime.text import MIMEText
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.mail import EmailMultiAlternatives as DjangoMessage

from mailworker import EmailMessage, EmailMultiAlternatives
from mailworker.mail.codec import Codec

if not django_settings.configured:
    django_settings.configure()


def image(content_id: str | None = "<logo@x>") -> MIMEImage:
    part = MIMEImage(b"GIF89a", "gif")
    if content_id is not None:
        part["Content-ID"] = content_id
    return part


def tree(part: Message) -> Any:
    if not part.is_multipart():
        return part.get_content_type().partition("/")[2]
    inner = part.get_payload()
    assert isinstance(inner, list)
    return [part.get_content_subtype(), *map(tree, inner)]


def letter(html: str = "<img src='cid:logo@x'>", body: str = "Text.", *parts: Any) -> EmailMultiAlternatives:
    made = EmailMultiAlternatives("s", body, "a@example.com", ["b@example.com"], attachments=parts)
    made.attach_alternative(html, "text/html")
    return made


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (letter("<img src='cid:logo@x'>", "Text.", image()), ["alternative", "plain", ["related", "html", "gif"]]),
        (letter("<img src='cid:logo@x'>", "", image()), ["alternative", ["related", "html", "gif"]]),
        (
            letter("<img src='cid:logo@x'>", "Text.", image(), image("<other@x>"), ("a.pdf", b"%", "application/pdf")),
            ["mixed", ["alternative", "plain", ["related", "html", "gif"]], "gif", "pdf"],
        ),
        (letter("<p>none</p>", "Text.", image()), ["mixed", ["alternative", "plain", "html"], "gif"]),
        (letter("<img src='cid:logo@x'>", "Text.", image(None)), ["mixed", ["alternative", "plain", "html"], "gif"]),
        (letter("<img src='cid:logo@x.org'>", "Text.", image()), ["mixed", ["alternative", "plain", "html"], "gif"]),
    ],
)
def test_what_html_shows_is_related_to_it_and_all_else_is_attached(message: EmailMessage, expected: Any) -> None:
    rendered = message.message()
    assert tree(rendered) == expected
    related = [part for part in rendered.walk() if part.get_content_subtype() == "related"]
    # RFC 2387 §3.1: the type of the root.
    assert [part.get_param("type") for part in related] == ["text/html"] * len(related)
    assert tree(Codec().decode(Codec().encode(message)).message()) == expected
    assert tree(message_from_bytes(message.message().as_bytes())) == expected


def test_an_html_body_alone_has_it_too() -> None:
    message = EmailMessage("s", '<img src="cid:logo@x">', "a@example.com", ["b@example.com"], attachments=[image()])
    message.content_subtype = "html"
    assert tree(message.message()) == ["related", "html", "gif"]
    message.content_subtype = "plain"
    assert tree(message.message()) == ["mixed", "plain", "gif"]


def test_a_subclass_that_builds_its_own_alternatives_loses_no_part() -> None:
    class Own(EmailMultiAlternatives):
        def _create_alternatives(self, msg: Message) -> Message:
            return MIMEText("own", "html")

    message = Own("s", "Text.", "a@example.com", ["b@example.com"], attachments=[image()])
    assert tree(message.message()) == ["mixed", "html", "gif"]


def test_where_nothing_is_shown_it_is_as_django_has_it() -> None:
    ours = letter("<p>none</p>", "Text.", image())
    django = DjangoMessage("s", "Text.", "a@example.com", ["b@example.com"], attachments=[image()])
    django.attach_alternative("<p>none</p>", "text/html")
    assert tree(ours.message()) == tree(django.message())
