"""A letter: what travels to the worker, and the messages that it and a row come to."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mailworker import BadHeaderError, ConfigurationError, InvalidAddress, TemplateError, settings
from mailworker.errors import CodecError
from mailworker.mail import direct
from mailworker.mail.letter import Letter, read_row, write_row
from mailworker.mail.message import EmailMultiAlternatives
from mailworker.mail.render import render
from mailworker.mail.sealing import Sealer

Write = Callable[..., Path]

DATE = datetime(2026, 12, 1, 9, 30, tzinfo=UTC)
PLAIN = Sealer()


def message(letter: Letter, values: Any, bulk: str = "march") -> EmailMultiAlternatives:
    return letter.message(values, mail_id="ab" * 16, bulk=bulk, date=DATE)


def html_of(made: EmailMultiAlternatives) -> str:
    ((content, mimetype),) = made.alternatives
    assert mimetype == "text/html"
    return str(content)


def test_a_worker_without_templates_makes_the_message_of_a_row(write: Write) -> None:
    folder = write(
        news__subject__txt="News for {{ name }}\n",
        news__txt="Hello {{ name }},{% include 'foot.txt' %}",
        news__html="{% extends 'base.html' %}{% block body %}{{ name }}{% endblock %}",
        base__html="<b>{% block body %}{% endblock %}</b>",
        foot__txt="\nbye {{ city }}",
    )
    letter = Letter.load("news")
    stored, row = (
        letter.encode(PLAIN),
        write_row(letter, {"email": "ann@example.com", "name": "A & B", "city": "Ulm"}, PLAIN),
    )
    shutil.rmtree(folder)
    there = Letter.decode(stored, PLAIN)
    letter_id, values = read_row(row, PLAIN)
    made = message(there, values)
    assert (there.digest, there.id) == (letter.digest, letter_id)
    assert (made.subject, made.body, made.to) == ("News for A & B", "Hello A & B,\nbye Ulm", ["ann@example.com"])
    assert html_of(made) == "<b>A &amp; B</b>"


def test_every_attempt_is_the_same_message(write: Write) -> None:
    write(news__subject__txt="x", news__txt="Hello {{ name }}")
    letter = Letter.load("news", from_email="Shop <news@shop.example>")
    row = {"email": "ann@example.com", "name": "Ann"}
    made = message(letter, row)
    assert made.extra_headers == {
        "Date": "Tue, 01 Dec 2026 09:30:00 -0000",
        "Message-ID": f"<{'ab' * 16}@shop.example>",
        "Precedence": "bulk",
    }
    assert direct.rendered(made) == render(message(letter, row))


def test_sender_reply_to_and_headers_are_templates_over_the_row(write: Write) -> None:
    write(news__subject__txt="x", news__txt="Hello")
    letter = Letter.load(
        "news",
        to="mail",
        from_email="{{ agent }} <{{ agent_email }}>",
        reply_to=["{{ agent_email }}", "desk@example.com"],
        headers={"X-Order": "{{ order }}", "Precedence": "list", "Message-ID": "<{{ order }}@example.com>"},
    )
    made = message(
        letter, {"mail": "Ann <ann@example.com>", "agent": "B & C", "agent_email": "b@example.com", "order": 7}
    )
    assert (made.from_email, made.reply_to) == ("B & C <b@example.com>", ["b@example.com", "desk@example.com"])
    assert made.to == ["Ann <ann@example.com>"]
    assert made.extra_headers == {
        "Date": "Tue, 01 Dec 2026 09:30:00 -0000",
        "Message-ID": "<7@example.com>",
        "Precedence": "list",
        "X-Order": "7",
    }


@pytest.fixture
def links() -> Any:
    with settings.override(
        MAILWORKER_UNSUBSCRIBE_URL="https://example.com/u/{token}", MAILWORKER_UNSUBSCRIBE_KEYS=["0123456789abcdef"]
    ):
        yield


def test_a_message_says_how_its_recipient_gets_no_more(write: Write, links: Any) -> None:
    from mailworker.mail.unsubscribe import Unsubscribe, verify

    write(news__subject__txt="x", news__txt="{{ unsubscribe_url }}")
    made = message(Letter.load("news"), {"email": "Ann <ann@EXAMPLE.com>"})
    assert made.body.startswith("https://example.com/u/")
    assert verify(made.body.removeprefix("https://example.com/u/")) == Unsubscribe("ann@EXAMPLE.com", "march")
    assert made.extra_headers["List-Unsubscribe"] == f"<{made.body}>"
    assert made.extra_headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_without_manners_the_link_is_for_the_templates_alone(write: Write, links: Any) -> None:
    write(news__subject__txt="x", news__txt="{{ unsubscribe_url }}")
    made = message(
        Letter.load("news", manners=False, unsubscribe_url="https://a.example/?t={token}"), {"email": "a@b.c"}
    )
    assert made.body.startswith("https://a.example/?t=")
    assert set(made.extra_headers) == {"Date", "Message-ID"}


def test_the_same_letter_has_the_same_digest_and_any_difference_another(write: Write) -> None:
    write(news__subject__txt="x", news__txt="Hello {{ name }}", news__html="<img src='cid:a.png'>", a__png=b"png")
    letter = Letter.load("news", headers={"X-A": "1", "X-B": "2"})
    assert letter.digest == Letter.load("news", headers={"X-B": "2", "X-A": "1"}).digest
    assert Letter.decode(letter.encode(PLAIN), PLAIN) == letter
    others = [
        Letter.load("news", to="mail"),
        Letter.load("news", manners=False),
        replace(letter, images={"a.png": b"other"}),
        replace(letter, sources={**letter.sources, "news.txt": "Bye {{ name }}"}),
    ]
    assert len({letter.digest, *(other.digest for other in others)}) == 5


def test_an_image_that_the_html_shows_goes_along(write: Write) -> None:
    write(news__subject__txt="x", news__html="<img src='cid:a.png'><img src='cid:b@c'>", a__png=b"png")
    letter = Letter.load("news")
    made = message(Letter.decode(letter.encode(PLAIN), PLAIN), {"email": "ann@example.com"})
    assert [image["Content-Disposition"] for image in made.attachments] == ['inline; filename="a.png"']
    assert b"cid:b@c" in render(made)


def test_keys_encrypt_letter_and_rows(write: Write) -> None:
    from cryptography.fernet import Fernet

    write(news__subject__txt="x", news__txt="secret {{ name }}")
    sealer = Sealer([Fernet.generate_key()])
    letter = Letter.load("news")
    stored, row = letter.encode(sealer), write_row(letter, {"email": "ann@example.com", "name": "Ann"}, sealer)
    assert b"secret" not in stored
    assert b"ann@" not in row
    assert Letter.decode(stored, sealer) == letter
    assert letter.named(read_row(row, sealer)[1]) == {"email": "ann@example.com", "name": "Ann"}
    for read in (lambda: Letter.decode(stored, PLAIN), lambda: read_row(row, PLAIN)):
        with pytest.raises(CodecError, match="MAILWORKER_ENCRYPTION_KEYS is empty"):
            read()


def test_bytes_that_are_no_letter_are_refused(write: Write) -> None:
    write(news__subject__txt="x", news__txt="Hello")
    stored = Letter.load("news").encode(PLAIN)
    for wrong in (b"", b"mwm", stored[:-1], stored[:20] + b"!" + stored[21:], b"mwl" + bytes([9]) + stored[4:]):
        with pytest.raises(CodecError, match="letter cannot be read"):
            Letter.decode(wrong, PLAIN)


def add_euro(environment: Any) -> None:
    environment.filters["euro"] = "{:.2f} EUR".format
    environment.globals["shop"] = "Shop"


def test_filters_and_globals_of_the_project_are_there_in_the_worker(write: Write) -> None:
    write(news__subject__txt="{{ shop }}", news__txt="{{ price|euro }}")
    with settings.override(MAILWORKER_TEMPLATE_SETUP=add_euro):
        letter = Letter.load("news")
        made = message(Letter.decode(letter.encode(PLAIN), PLAIN), {"email": "ann@example.com", "price": 7})
    assert (made.subject, made.body) == ("Shop", "7.00 EUR")
    assert letter.columns == ("email", "price", "shop")


def test_text_is_made_from_html_and_rules_of_style_go_into_attributes_as_they_did_when_it_was_loaded(
    write: Write,
) -> None:
    write(news__subject__txt="x", news__html="<style>p {color: red}</style><p>Hello <b>{{ name }}</b>")
    with settings.override(MAILWORKER_INLINE_CSS=True):
        stored = Letter.load("news").encode(PLAIN)
    made = message(Letter.decode(stored, PLAIN), {"email": "ann@example.com", "name": "A & B"})
    assert made.body == "Hello **A & B**\n"
    assert '<p style="color: red;">Hello <b>A &amp; B</b></p>' in html_of(made)


def test_a_library_that_is_missing_is_told_when_a_letter_is_loaded(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(news__subject__txt="x", news__html="<p>Hello", text__subject__txt="x", text__txt="x")
    for library in ("html2text", "css_inline", "itsdangerous"):
        monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ConfigurationError, match="needs html2text"):
        Letter.load("news")
    with settings.override(MAILWORKER_INLINE_CSS=True), pytest.raises(ConfigurationError, match="needs css-inline"):
        Letter.load("text")
    keys = ["0123456789abcdef"]
    with (
        settings.override(MAILWORKER_UNSUBSCRIBE_URL="https://a.example/{token}", MAILWORKER_UNSUBSCRIBE_KEYS=keys),
        pytest.raises(ConfigurationError, match=r"need itsdangerous.* 'mailworker\[bulk\]'"),
    ):
        Letter.load("text")


def test_a_letter_in_a_language_is_of_its_files(write: Write) -> None:
    write(news__subject__txt="x", news__txt="Hello", news__de__subject__txt="y", news__de__txt="Hallo {{ name }}")
    letter = Letter.load("news", language="de-at")
    assert message(letter, {"email": "ann@example.com", "name": "Ann"}).body == "Hallo Ann"
    assert set(letter.sources) == {"news.de.subject.txt", "news.de.txt"}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"news__txt": "x"}, r"no subject.* write news\.subject\.txt"),
        ({"news__subject__txt": "x", "news__txt": "{% include which %}"}, r"news\.txt: .* depends on a variable"),
        ({"news__subject__txt": "x", "news__txt": "\n{% include 'no.txt' %}"}, r"news\.txt, line 2: it uses 'no\.txt'"),
        ({"news__subject__txt": "x", "news__txt": "{{ a"}, r"news\.txt, line 1"),
        (
            {"news__subject__txt": "x", "news__html": "<img src='cid:{{ a }}.png'>"},
            r"news\.html: .* depends on a variable",
        ),
        ({"news__subject__txt": "x", "news__html": "<img src='cid:no.png'>"}, r"news\.html: cid:no\.png is no image"),
        (
            {"news__subject__txt": "x", "news__txt": "{% include 'foot.txt' %}", "foot__txt": "{{ a|no_filter }}"},
            r"foot\.txt, line 1: No filter",
        ),
    ],
)
def test_what_is_wrong_with_templates_is_told_when_they_are_loaded(
    write: Write, files: dict[str, str], said: str
) -> None:
    write(**files)
    with pytest.raises(TemplateError, match=said):
        Letter.load("news")


def test_what_may_be_missing_may_be_missing(write: Write) -> None:
    write(
        news__subject__txt="x",
        news__txt="a{% include 'no.txt' ignore missing %}{% include ['no.txt', 'b.txt'] %}",
        b__txt="b",
    )
    assert message(Letter.load("news"), {"email": "ann@example.com"}).body == "ab"


def test_what_is_wrong_with_fields_is_told_when_they_are_loaded(write: Write) -> None:
    write(news__subject__txt="x", news__txt="x")
    with pytest.raises(InvalidAddress):
        Letter.load("news", from_email="Ann ann@example.com")
    with pytest.raises(BadHeaderError):
        Letter.load("news", headers={"X-A": "a\nBcc: b@c"})
    with pytest.raises(BadHeaderError):
        Letter.load("news", from_email="{{ a }}\n")
    with pytest.raises(BadHeaderError):
        Letter.load("news", headers={"Content-Type": "{{ a }}"})
    with pytest.raises(TemplateError, match="the X-A header, line 1"):
        Letter.load("news", headers={"X-A": "{{ a"})
    with pytest.raises(TypeError, match="reply_to is a string"):
        Letter.load("news", reply_to="a@b.c")
    with pytest.raises(TypeError, match="to is NoneType"):
        Letter.load("news", to=None)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="MAILWORKER_UNSUBSCRIBE_KEYS is empty"):
        Letter.load("news", unsubscribe_url="https://example.com/{token}")
    with pytest.raises(ConfigurationError, match="https: URL"):
        Letter.load("news", unsubscribe_url="http://example.com/{token}")
