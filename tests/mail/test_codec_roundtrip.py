"""What goes in comes out: a decoded message renders to the bytes of the original, whoever's class it was."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import example, given
from hypothesis import strategies as st

from mailworker import mail
from mailworker.errors import CodecError, MailworkerError
from mailworker.mail.codec import Codec
from mailworker.mail.frozen import FrozenMessage
from mailworker.mail.render import render
from tests.mail.codec_messages import (
    address,
    build,
    inner,
    outcome,
    part,
    recipes,
    same_value,
    unhurried,
    without_boundaries,
)

KEYS: list[str | bytes] = [Fernet.generate_key(), Fernet.generate_key().decode()]
codecs = st.sampled_from([Codec(), Codec(KEYS)])
PARTS = ["text", "image", "inline", "application", "related", "rfc822", "raw", "parsed", "header", "long", "modern"]


def subclass(base: Any) -> Any:
    class Newsletter(base):
        tags = ("news", "spring")
        metadata = {"issue": 7}  # noqa: RUF012 - as users write it
        content_subtype = "plain"

    return Newsletter


@unhurried
@given(recipe=recipes, codec=codecs, is_subclass=st.booleans())
def test_a_decoded_message_renders_to_the_same_bytes(recipe, codec, is_subclass):
    base = subclass(mail.EmailMultiAlternatives) if is_subclass else None
    message = build(mail, recipe, base)
    decoded = codec.decode(codec.encode(message))
    assert outcome(render, decoded) == outcome(render, message)
    assert type(decoded) is (mail.EmailMultiAlternatives if is_subclass else getattr(mail, recipe["kind"]))


@unhurried
@given(recipe=recipes, codec=codecs)
def test_a_message_of_djangos_is_carried_as_well(django_mail, recipe, codec):
    message = build(django_mail, recipe)
    decoded = codec.decode(codec.encode(message))
    assert decoded.recipients() == [each for each in (*message.to, *message.cc, *message.bcc) if each]
    # Ours and Django's rendering are compared elsewhere: here, a message of ours with the same fields is the measure.
    twin = build(mail, recipe)
    twin.from_email, twin.extra_headers = message.from_email, message.extra_headers
    fixed = {"Date": "Thu, 01 Jan 2026 00:00:00 -0000", "Message-ID": "<inner@x>"}
    for each in (*decoded.attachments, *twin.attachments):
        content: Any = getattr(each, "content", None)
        if getattr(each, "mimetype", None) == "message/rfc822" and not isinstance(content, str):
            for name, value in fixed.items():
                if hasattr(content, "extra_headers"):
                    content.extra_headers = {**content.extra_headers, name: value}
                elif name in content:
                    content.replace_header(name, value)
    assert outcome(render, decoded) == outcome(render, twin)


@unhurried
@given(recipe=recipes, codec=codecs)
def test_every_field_comes_back_with_its_value_and_type(recipe, codec):
    message = build(mail, recipe)
    decoded = codec.decode(codec.encode(message))
    for name in ("subject", "body", "from_email", "content_subtype", "mixed_subtype"):
        assert same_value(getattr(decoded, name), getattr(message, name))
    for name in ("to", "cc", "bcc", "reply_to"):
        assert getattr(decoded, name) == list(getattr(message, name))
    assert same_value(decoded.extra_headers, message.extra_headers)
    assert getattr(decoded, "alternatives", None) == getattr(message, "alternatives", None)
    for name, value in recipe["extra"].items():
        assert same_value(getattr(decoded, name), value)
    encodings = [
        each.encoding if not each.encoding or isinstance(each.encoding, str) else vars(each.encoding)
        for each in (decoded, message)
    ]
    assert encodings[0] == encodings[1]
    for was, comes in zip(message.attachments, decoded.attachments, strict=True):
        if isinstance(was, tuple) and isinstance(was[1], str | bytes):
            assert same_value(tuple(comes), tuple(was))


@unhurried
@given(recipe=recipes, codec=codecs)
def test_what_is_decoded_can_be_encoded_again_to_the_same_bytes(recipe, codec):
    plain = Codec()
    once = plain.encode(codec.decode(codec.encode(build(mail, recipe))))
    assert plain.encode(plain.decode(once)) == once


class Shouting(mail.EmailMultiAlternatives):
    def message(self):
        made = super().message()
        made.replace_header("Subject", str(self.subject).upper()[:20].strip())
        made["X-Shouting"] = "yes"
        return made


class Watched(mail.EmailMultiAlternatives):
    def recipients(self):
        return [*super().recipients(), "watch@b.example"]


class Related(mail.EmailMultiAlternatives):
    def _create_alternatives(self, msg):
        made = super()._create_alternatives(msg)
        made["X-Part"] = "related"
        return made


@unhurried
@given(recipe=recipes, codec=codecs, kind=st.sampled_from([Shouting, Watched, Related]))
def test_a_subclass_that_overrides_is_frozen_with_its_bytes_and_recipients(recipe, codec, kind):
    message = build(mail, {**recipe, "subject": "x"}, kind)
    expected = outcome(render, message)
    if isinstance(expected, type):
        with pytest.raises(expected):
            codec.encode(message)
        return
    decoded = codec.decode(codec.encode(message))
    # Boundaries are drawn when it is frozen; Message-ID and Date are fixed by encoding.
    assert without_boundaries(render(decoded)) == outcome(render, message)
    assert render(decoded) == render(decoded)
    assert decoded.recipients() == message.recipients()
    assert type(decoded) is FrozenMessage
    assert codec.decode(codec.encode(decoded)).message().as_bytes() == decoded.message().as_bytes()


@pytest.mark.parametrize("kind", PARTS)
def test_a_part_is_carried_byte_for_byte(kind):
    message = mail.EmailMessage("s", "b", "a@b.example", ["c@d.example"], attachments=[part(kind)])
    decoded = Codec().decode(Codec().encode(message))
    (carried,) = decoded.attachments
    assert without_boundaries(render(decoded)) == without_boundaries(render(message))
    items = [
        without_boundaries(repr([(name, str(value)) for name, value in each.items()]).encode())
        for each in (carried, message.attachments[0])
    ]
    assert items[0] == items[1]
    assert without_boundaries(carried.as_bytes()) == without_boundaries(message.attachments[0].as_bytes())


@pytest.mark.parametrize("kind", ["standard", "raw", "modern"])
def test_a_message_inside_a_message_keeps_its_own_form(kind):
    message = mail.EmailMessage(
        "s", "b", "a@b.example", ["c@d.example"], attachments=[("x.eml", inner(kind), "message/rfc822")]
    )
    decoded = Codec().decode(Codec().encode(message))
    carried, original = decoded.attachments[0].content, message.attachments[0].content
    assert without_boundaries(carried.as_bytes()) == without_boundaries(original.as_bytes())
    assert type(carried) is type(original)


@pytest.mark.parametrize("attachments", [[], [("a.txt", "From me\n", "text/plain")]])
def test_a_rendered_message_inside_a_message_is_left_as_it_is(attachments):
    rendered: Any = mail.EmailMessage("inner", "From me\n", "a@b.example", attachments=attachments).message()
    outer = mail.EmailMessage("s", "b", "a@b.example", attachments=[("x.eml", rendered, "message/rfc822")])
    carried = Codec().decode(Codec().encode(outer)).attachments[0].content
    assert type(carried) is type(rendered)
    assert b"\nFrom me\n" in rendered.as_bytes()
    assert without_boundaries(carried.as_bytes()) == without_boundaries(rendered.as_bytes())


def test_an_inner_message_gets_its_id_and_date_once(django_mail):
    for module in (mail, django_mail):
        message = mail.EmailMessage(
            "s", "b", "a@b.example", ["c@d.example"], attachments=[("x.eml", inner("ours", module), "message/rfc822")]
        )
        payload = Codec().encode(message)
        ids = {
            str(Codec().decode(each).attachments[0].content["Message-ID"])
            for each in (payload, Codec().encode(message))
        }
        assert len(ids) == 1
        assert ids != {"None"}


def test_encoding_the_same_message_twice_gives_the_same_message_id_and_date():
    message = mail.EmailMessage("s", "b", "a@b.example", ["c@d.example"])
    payload = Codec().encode(message)
    assert Codec().encode(message) == payload
    assert Codec().decode(payload).extra_headers.keys() == {"Date", "Message-ID"}


def test_the_id_of_a_queued_mail_and_a_restriction_travel_with_it():
    message = mail.EmailMessage("s", "b", "a@b.example", ["c@d.example", "e@d.example"])
    message.mail_id = "0" * 32
    message.restrict_to(["e@d.example"])
    decoded = Codec().decode(Codec().encode(message))
    assert decoded.mail_id == "0" * 32
    assert decoded.recipients() == ["e@d.example"]
    assert decoded.to == ["c@d.example", "e@d.example"]


@unhurried
@given(payload=st.binary(max_size=200))
@example(payload=b"")
@example(payload=b"mwm")
@example(payload=b"mwm\x01")
@example(payload=b"mwm\x02" + bytes(9))
def test_bytes_that_nobody_encoded_are_a_codec_error(payload):
    for codec in (Codec(), Codec(KEYS)):
        with pytest.raises(CodecError):
            codec.decode(payload)


@unhurried
@given(keep=st.lists(address, max_size=3))
def test_a_second_try_goes_to_the_recipients_that_are_left_of_a_frozen_message(keep):
    decoded = Codec().decode(Codec().encode(Watched("s", "b", "a@b.example", ["c@d.example"])))
    before = render(decoded)
    decoded.restrict_to(keep)
    assert decoded.recipients() == keep
    assert render(decoded) == before


def test_no_error_of_the_codec_is_anything_but_ours():
    assert issubclass(CodecError, MailworkerError)
