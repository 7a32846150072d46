"""What cannot be carried faithfully is refused in the caller, by name; what looks odd and can be carried, is."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import io
import math
import uuid
from collections import Counter, OrderedDict, defaultdict
from email.charset import Charset
from email.header import Header
from email.headerregistry import Address
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.text import MIMEText
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from mailworker import mail
from mailworker.errors import EnqueueError, MessageTooLarge, UnserializableMessage
from mailworker.mail.codec import Codec


def message(**fields: Any) -> Any:
    made: Any = mail.EmailMultiAlternatives("s", "b", "a@b.example", ["c@d.example"])
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def carried(**fields: Any) -> Any:
    return Codec().decode(Codec().encode(message(**fields)))


class Kind(str, enum.Enum):  # noqa: UP042 - prints as its name, unlike a StrEnum
    SALE = "sale"


class Point(NamedTuple):
    x: int
    y: int


class MyCharset(Charset):
    pass


class Silent(MIMEBase):
    def get_payload(self, i=None, decode=False):
        return ""


def nested(levels: int) -> Any:
    value: Any = "core"
    for _ in range(levels):
        value = [value]
    return value


def cyclic() -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def tagged(**attributes: Any) -> MIMEBase:
    made = MIMEText("x")
    vars(made).update(attributes)
    return made


CYCLIC_PART = MIMEBase("multipart", "mixed")
CYCLIC_PART.attach(CYCLIC_PART)
CYCLIC_MESSAGE = mail.EmailMessage("s", "b", "a@b.example")
CYCLIC_MESSAGE.attach("x.eml", CYCLIC_MESSAGE, "message/rfc822")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"callback": lambda: None}, r"attribute 'callback' is of type function"),
        ({"metadata": {"when": dt.time(9)}}, r"attribute 'metadata'\['when'\] is of type time"),
        ({"metadata": {"price": decimal.Decimal(1)}}, r"\['price'\] is of type Decimal"),
        ({"metadata": [1, uuid.UUID(int=1)]}, r"attribute 'metadata'\[1\] is of type UUID"),
        ({"metadata": {"x": math.nan}}, r"\['x'\] is of type float.*finite"),
        ({"metadata": {"x": math.inf}}, r"\['x'\] is of type float.*finite"),
        ({"metadata": {1: "x"}}, r"key 0 of attribute 'metadata' is of type int"),
        ({"metadata": {None: "x"}}, r"key 0 of attribute 'metadata' is of type NoneType"),
        ({"metadata": {"x": b"y"}}, r"\['x'\] is of type bytes"),
        ({"metadata": {"a", "b"}}, r"attribute 'metadata' is of type set"),
        ({"metadata": Point(1, 2)}, r"attribute 'metadata' is of type Point"),
        ({"metadata": Counter("aab")}, r"attribute 'metadata' is of type Counter"),
        ({"metadata": defaultdict(list)}, r"attribute 'metadata' is of type defaultdict"),
        ({"metadata": {"x": 10**5000}}, r"\['x'\] is of type int.*at most 8192 bits"),
        ({"metadata": nested(100)}, r"nested deeper than 64 levels"),
        ({"metadata": cyclic()}, r"nested deeper than 64 levels, or contains itself"),
        ({"metadata": {"x": "\ud800"}}, r"\['x'\] holds a lone surrogate"),
        ({"tags": Kind.SALE}, r"attribute 'tags' is of type Kind"),
        ({"attach_file": "x"}, r"attribute 'attach_file' has the name of a method"),
        ({"body": b"bytes"}, r"body is of type bytes"),
        ({"body": ["a"]}, r"body is of type list"),
        ({"body": "a\udc80b"}, r"body holds a lone surrogate"),
        ({"subject": object()}, r"subject is of type object"),
        ({"subject": Kind.SALE}, r"subject is of type Kind"),
        ({"to": "a@b.example"}, r"to is of type str.*list or tuple"),
        ({"to": {"a@b.example"}}, r"to is of type set"),
        ({"to": (each for each in ["a@b.example"])}, r"to is of type generator"),
        ({"cc": ["a@b.example", ["x"]]}, r"cc\[1\] is of type list"),
        ({"bcc": [b"a@b.example"]}, r"bcc\[0\] is of type bytes"),
        ({"reply_to": [7]}, r"reply_to\[0\] is of type int"),
        ({"to": ["a\ud800@b.example"]}, r"to\[0\] holds a lone surrogate"),
        ({"from_email": object()}, r"from_email is of type object"),
        ({"extra_headers": [("X-A", "1")]}, r"extra_headers is of type list"),
        ({"extra_headers": defaultdict(str)}, r"extra_headers is of type defaultdict"),
        ({"extra_headers": {"X-A": b"1"}}, r"extra_headers\['X-A'\] is of type bytes"),
        ({"extra_headers": {"X-A": ["1"]}}, r"extra_headers\['X-A'\] is of type list"),
        ({"extra_headers": {1: "1"}}, r"name \d in extra_headers is of type int"),
        ({"extra_headers": {"X-A": "\ud800"}}, r"headers\['X-A'\] holds a lone surrogate"),
        ({"encoding": 8}, r"encoding is of type int"),
        ({"encoding": MyCharset("utf-8")}, r"encoding is of type MyCharset"),
        ({"content_subtype": None}, r"content_subtype is of type NoneType"),
        ({"attachments": None}, None),
        ({"attachments": {"a.txt": "x"}}, r"attachments is of type dict"),
        ({"attachments": ["a.txt"]}, r"attachments\[0\] is of type str"),
        ({"attachments": [("a", "b", "c/d", "e")]}, r"attachments\[0\] is of type tuple"),
        (
            {"attachments": [("a", "b", "c/d"), ("a", io.BytesIO(b"x"), "c/d")]},
            r"attachments\[1\].content is of type BytesIO",
        ),
        ({"attachments": [("a", None, "c/d")]}, r"attachments\[0\].content is of type NoneType"),
        ({"attachments": [("a", PurePosixPath("x"), "c/d")]}, r"attachments\[0\].content is of type PurePosixPath"),
        ({"attachments": [("a", 5, "c/d")]}, r"attachments\[0\].content is of type int"),
        ({"attachments": [("a", "b\udcff", "text/plain")]}, r"attachments\[0\]\[1\] holds a lone surrogate"),
        (
            {"attachments": [("a", "b\udcff" * 99_999, "text/plain")]},
            r"attachments\[0\].content holds a lone surrogate",
        ),
        ({"attachments": [(b"a", "b", "text/plain")]}, r"attachments\[0\].filename is of type bytes"),
        ({"attachments": [("a", "b", 7)]}, r"attachments\[0\].mimetype is of type int"),
        ({"attachments": [tagged(tracker=object())]}, r"attachments\[0\].tracker is of type object"),
        ({"attachments": [Silent("image", "png")]}, r"attachments\[0\] is of class Silent, whose get_payload\(\)"),
        ({"attachments": [tagged(_payload=b"x")]}, r"attachments\[0\].payload is of type bytes"),
        ({"attachments": [tagged(_payload=["x"])]}, r"attachments\[0\].parts\[0\] is of type str"),
        ({"attachments": [tagged(_headers=[("X", object())])]}, r"attachments\[0\].headers is of type object"),
        ({"attachments": [tagged(_charset="x")]}, None),
        ({"attachments": [MIMEBase.__new__(MIMEBase)]}, r"attachments\[0\] was never initialised"),
        ({"attachments": [CYCLIC_PART]}, r"nested deeper than 64 parts, or contains itself"),
        ({"attachments": [("x.eml", CYCLIC_MESSAGE, "message/rfc822")]}, r"nested deeper than 64 messages"),
        ({"alternatives": "x"}, r"alternatives is of type str"),
        ({"alternatives": [("x",)]}, r"alternatives\[0\] is of type tuple"),
        ({"alternatives": [(object(), "text/html")]}, r"alternatives\[0\].content is of type object"),
        ({"alternatives": [("x", None)]}, r"alternatives\[0\].mimetype is of type NoneType"),
        ({"mail_id": 7}, r"mail_id is of type int"),
    ],
)
def test_what_cannot_be_carried_is_refused_by_name(fields, named):
    if named is None:  # odd, and nothing is lost
        assert carried(**fields)
        return
    with pytest.raises(UnserializableMessage, match=named) as raised:
        Codec().encode(message(**fields))
    assert isinstance(raised.value, EnqueueError)
    assert isinstance(raised.value, TypeError)


def test_a_refusal_shows_no_address_and_no_content():
    made = message(merge_data={"secret@person.example": {"name": object()}}, body="private words")
    with pytest.raises(UnserializableMessage) as raised:
        Codec().encode(made)
    assert "person" not in str(raised.value)
    assert "private" not in str(raised.value)
    assert "attribute 'merge_data'[key 0]['name']" in str(raised.value)


@pytest.mark.parametrize("thing", [None, "text", 7, Message(), object(), ["list"], mail.EmailMessage])
def test_what_is_no_message_is_refused(thing):
    with pytest.raises(UnserializableMessage):
        Codec().encode(thing)


def test_what_only_looks_like_a_message_is_refused_by_what_it_lacks():
    class Almost:
        subject = body = from_email = "x"

        def message(self):
            return Message()

        def recipients(self):
            return ["a@b.example"]

    with pytest.raises(UnserializableMessage, match="Almost has no attribute 'to'"):
        Codec().encode(Almost())


@pytest.mark.parametrize(
    ("name", "value", "comes"),
    [
        ("subject", None, None),
        ("subject", 7, 7),
        ("subject", uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ("to", ("a@b.example", None, ""), ["a@b.example", None, ""]),
        ("to", [Address("Ann", "a", "b.example")], ["Ann <a@b.example>"]),
        ("to", [("Ann", "a@b.example")], [("Ann", "a@b.example")]),
        ("cc", None, []),
        ("metadata", OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        ("metadata", {"\x00": ["looks like a tag"]}, {"\x00": ["looks like a tag"]}),
        ("metadata", {"\x00": {"\x00": ()}}, {"\x00": {"\x00": ()}}),
        ("metadata", (1, (2, [3, ()])), (1, (2, [3, ()]))),
        ("metadata", [-0.0, 1e308, 2**200], [-0.0, 1e308, 2**200]),
        ("attachments", [("a.bin", bytearray(b"x"), None)], [("a.bin", b"x", None)]),
        ("attachments", [("a.bin", memoryview(b"x"), "a/b")], [("a.bin", b"x", "a/b")]),
        ("attachments", (["a.txt", "x"],), [("a.txt", "x", None)]),
        ("attachments", [(PurePosixPath("d/a.txt"), "x", "text/plain")], [("d/a.txt", "x", "text/plain")]),
        ("attachments", [("a.txt", "é" * 70_000, "text/plain")], [("a.txt", "é" * 70_000, "text/plain")]),
        ("alternatives", (("<p>", "text/html"),), [("<p>", "text/html")]),
    ],
)
def test_odd_values_are_carried_where_nothing_is_lost(name, value, comes):
    decoded = getattr(carried(**{name: value}), name)
    assert decoded == comes
    assert type(decoded) is type(comes)


def test_headers_may_be_of_any_mapping_and_hold_what_prints():
    fields = {"X-A": Header("Grüße", "utf-8"), "X-B": 1.5, "X-C": uuid.UUID(int=0), "X-D": True, "X-E": math.inf}
    decoded = carried(extra_headers=MappingProxyType(fields))
    assert {name: decoded.extra_headers[name] for name in fields} == {
        "X-A": "Grüße",
        "X-B": 1.5,
        "X-C": "00000000-0000-0000-0000-000000000000",
        "X-D": True,
        "X-E": "inf",  # as it is shown; JSON has no such number
    }


def test_lazy_strings_are_resolved_wherever_they_stand(django_mail):
    from django.utils.functional import SimpleLazyObject, lazystr
    from django.utils.safestring import mark_safe

    made = django_mail.EmailMultiAlternatives(
        lazystr("sübject"),
        lazystr("body"),
        lazystr("a@b.example"),
        [lazystr("c@d.example"), SimpleLazyObject(lambda: "e@d.example")],
        headers={lazystr("X-A"): lazystr("1"), "X-B": mark_safe("<b>")},
        cc=(lazystr("f@d.example"),),
        attachments=[(lazystr("a.txt"), mark_safe("x"), "text/plain")],
        alternatives=[(lazystr("<p>"), "text/html")],
    )
    made.tags = [lazystr("t")]
    made.metadata = {lazystr("k"): SimpleLazyObject(lambda: "v")}
    decoded: Any = Codec().decode(Codec().encode(made))
    assert (decoded.subject, decoded.body, decoded.from_email) == ("sübject", "body", "a@b.example")
    assert decoded.recipients() == ["c@d.example", "e@d.example", "f@d.example"]
    assert (decoded.extra_headers["X-A"], decoded.extra_headers["X-B"]) == ("1", "<b>")
    assert decoded.attachments == [("a.txt", "x", "text/plain")]
    assert decoded.alternatives == [("<p>", "text/html")]
    assert (decoded.tags, decoded.metadata) == (["t"], {"k": "v"})
    for value in (decoded.subject, decoded.to[0], decoded.to[1], decoded.extra_headers["X-B"], decoded.metadata["k"]):
        assert type(value) is str


def test_a_lazy_object_that_is_no_string_is_refused_in_data(django_mail):
    from django.utils.functional import SimpleLazyObject

    with pytest.raises(UnserializableMessage, match="metadata"):
        Codec().encode(message(metadata=SimpleLazyObject(lambda: {"a": object()})))


def test_a_lazy_string_that_cannot_be_resolved_is_named(django_mail):
    from django.utils.functional import lazy

    def broken():
        raise RuntimeError("no catalogue")

    with pytest.raises(UnserializableMessage, match="subject of type __proxy__ cannot be turned into a str") as raised:
        Codec().encode(message(subject=lazy(broken, str)()))
    assert isinstance(raised.value.__cause__, RuntimeError)


class _Same(str):
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__


def test_two_header_names_that_become_one_are_refused():
    with pytest.raises(UnserializableMessage, match="two names"):
        Codec().encode(message(extra_headers={_Same("X-A"): "1", "X-A": "2"}))
    with pytest.raises(UnserializableMessage, match="two keys"):
        Codec().encode(message(metadata={_Same("a"): "1", "a": "2"}))


def test_connection_and_outcomes_are_not_carried():
    made = message(connection=object(), outcomes={"c@d.example": object()})
    decoded = Codec().decode(Codec().encode(made))
    assert decoded.connection is None
    assert decoded.outcomes == {}


@pytest.mark.parametrize("fields", [{"body": "x" * 2000}, {"attachments": [("a", b"x" * 2000, "a/b")]}])
def test_a_message_over_the_limit_is_refused_with_both_sizes(fields):
    made = message(**fields)
    size = len(Codec().encode(message(body="")))
    assert Codec(max_size=2000 + 2 * size).encode(made)
    with pytest.raises(
        MessageTooLarge, match=r"of 2\d\d\d bytes or more, expected at most 2000.*MAILWORKER_MAX_MESSAGE_SIZE"
    ):
        Codec(max_size=2000).encode(made)


def test_a_limit_does_not_depend_on_how_well_a_message_compresses():
    with pytest.raises(MessageTooLarge):
        Codec(max_size=10_000).encode(message(body="x" * 10_000))


def test_what_was_accepted_is_decoded_under_a_smaller_limit():
    assert Codec(max_size=100).decode(Codec().encode(message(body="x" * 1000))).body == "x" * 1000


def test_content_over_the_limit_is_refused_before_it_is_worked_on(monkeypatch):
    monkeypatch.setattr("mailworker.mail.payload.digest_of", lambda content: pytest.fail("hashed all the same"))
    with pytest.raises(MessageTooLarge):
        Codec(max_size=2000).encode(message(attachments=[("a", b"x" * 2001, "a/b")]))
