"""Assertions on mail: what they accept, and what they print."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.mail import EmailMultiAlternatives as DjangoMessage

import mailworker
from mailworker import EmailMultiAlternatives, get_connection, send_mail
from mailworker.queue import eager
from mailworker.testing import assert_mail_sent, assert_no_mail_sent
from mailworker.testing.smtpd import ScriptedServer

if not django_settings.configured:
    django_settings.configure()


@pytest.fixture
def sent(mail_outbox: list[mailworker.EmailMessage]) -> list[mailworker.EmailMessage]:
    send_mail("Your order 7", "It is on its way.", "Shop <shop@example.com>", ["Ann <ann@example.com>"])
    letter = EmailMultiAlternatives("Invoice", "As attached.", "shop@example.com", [("Bob", "Bob@example.com")])
    letter.cc, letter.bcc = ["carl@example.com"], ["archive@example.com"]
    letter.attach_alternative("<p>As attached.</p>", "text/html")
    letter.attach("invoice.pdf", b"%PDF", "application/pdf")
    letter.send()
    return mail_outbox


@pytest.mark.parametrize(
    ("expected", "subject"),
    [
        ({"to": "ann@example.com"}, "Your order 7"),
        ({"to": "ANN@EXAMPLE.COM"}, "Your order 7"),
        ({"from_email": "shop@example.com", "subject": re.compile(r"order \d+$")}, "Your order 7"),
        ({"to": ["bob@example.com"], "cc": ("carl@example.com",), "bcc": "archive@example.com"}, "Invoice"),
        ({"html": "<p>As", "text": re.compile(r"^As attached\.$"), "attachments": "invoice.pdf"}, "Invoice"),
        ({"subject": "Invoice", "times": None}, "Invoice"),
        ({"to": "Miss Ann <ann@Example.com>", "from_email": "The Shop <shop@example.com>"}, "Your order 7"),
        ({"html": "", "attachments": [], "cc": (), "bcc": []}, "Your order 7"),
    ],
)
def test_a_mail_is_found_by_what_it_has(sent, expected, subject) -> None:
    assert [one.subject for one in assert_mail_sent(**expected)] == [subject]
    wanted = {name: value for name, value in expected.items() if name != "times"}
    with pytest.raises(AssertionError, match=r"expected no mail with .*, found 1 among 2 sent"):
        assert_no_mail_sent(**wanted)


@pytest.mark.parametrize(
    "expected",
    [
        {"to": "carl@example.com"},
        {"to": ["ann@example.com", "bob@example.com"]},
        {"subject": "Your order"},
        {"subject": re.compile("^order")},
        {"text": "invoice", "to": "bob@example.com"},
        {"html": "As", "to": "ann@example.com"},
        {"attachments": ["invoice.pdf", "terms.pdf"]},
        {"from_email": "ann@example.com"},
        {"bcc": "ann@example.com"},
        {"to": []},
        {"text": ""},
        {"attachments": [], "html": "<p>"},
    ],
)
def test_a_mail_is_not_found_by_what_it_has_not(sent, expected) -> None:
    assert_no_mail_sent(**expected)
    for times in (1, None):
        with pytest.raises(AssertionError, match=r"found 0 among 2 sent"):
            assert_mail_sent(**expected, times=times)


def test_a_failure_shows_what_was_sent_and_the_nearest_miss(sent) -> None:
    with pytest.raises(AssertionError) as caught:
        assert_mail_sent(to="ann@example.com", subject="Your order")
    wide = "Bob@example.com, cc carl@example.com, bcc archive@example.com"
    assert str(caught.value).splitlines() == [
        "expected 1 mail with to='ann@example.com', subject='Your order', found 0 among 2 sent:",
        f"       {'to'.ljust(len(wide))}  subject       from              attachments",
        f"    1  {'ann@example.com'.ljust(len(wide))}  Your order 7  shop@example.com",
        f"    2  {wide}  Invoice       shop@example.com  invoice.pdf",
        "nearest is 1: its subject is 'Your order 7', expected 'Your order'",
    ]


def test_too_many_are_a_failure_that_marks_them(sent) -> None:
    with pytest.raises(AssertionError) as caught:
        assert_mail_sent(from_email="shop@example.com")
    lines = str(caught.value).splitlines()
    assert lines[0] == "expected 1 mail with from_email='shop@example.com', found 2 among 2 sent:"
    assert [line.split()[0] for line in lines[2:]] == ["*1", "*2"]
    assert len(assert_mail_sent(from_email="shop@example.com", times=2)) == 2


def test_a_mail_that_waits_for_its_time_is_told_of(mail_outbox) -> None:
    send_mail("Later", "Text.", None, ["ann@example.com"], at=datetime(2090, 1, 1, tzinfo=UTC))
    with pytest.raises(AssertionError) as caught:
        assert_mail_sent(subject="Later")
    assert str(caught.value).splitlines() == [
        "expected 1 mail with subject='Later', found 0; no mail was sent at all",
        "1 more waits for later, until 2090-01-01 00:00:00+00:00 at least: run_due(at=...) sends what is due by then",
    ]


def test_a_name_that_is_wrong_is_one_sentence(mail_outbox) -> None:
    with pytest.raises(
        TypeError, match=r"^sujbect= is nothing that a mail is looked at for; expected times, among, to, "
    ):
        assert_mail_sent(sujbect="x")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"^subject=7 is int; expected text or a compiled pattern$"):
        assert_no_mail_sent(subject=7)  # type: ignore[arg-type]


def test_a_failure_is_short_and_shows_the_passage_that_is_nearest(mail_outbox) -> None:
    for number in range(100):
        send_mail(f"Order {number}", "-", None, ["ann@example.com"])
    everybody = [f"{number}@example.com" for number in range(100)]
    send_mail("x" * 200, "Hello. " * 2000 + "Your order 7 is on its way. " + "Bye. " * 100, None, everybody)
    send_mail("Evil \u202e \x1b[2J", "-", None, ["eve@example.com"])
    with pytest.raises(AssertionError) as caught:
        assert_mail_sent(to="99@example.com", text="Your order 8 is")
    lines = str(caught.value).splitlines()
    assert len(lines) == 45
    assert max(map(len, lines)) < 250
    assert lines[-3].startswith(f"  101  {', '.join(everybody)[:100]}...  {'x' * 100}...  webmaster@")
    assert lines[-2:] == [
        "       and 61 more",
        f"nearest is 101: its text is ...{'Your order 7 is on its way. ' + ('Bye. ' * 7)[:32]!r}..., expected 'Your order 8 is'",
    ]
    mail_outbox[:-1] = []
    with pytest.raises(AssertionError) as caught:
        assert_no_mail_sent()
    assert "Evil \\u202e" in str(caught.value)
    assert "\u202e" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("to", 7, "to=7 holds int; expected an address, or a list of them"),
        ("cc", [None], "cc=[None] holds NoneType; expected an address, or a list of them"),
        ("attachments", [b"a.pdf"], "attachments=[b'a.pdf'] holds bytes; expected a name, or a list of them"),
    ],
)
def test_what_is_no_address_and_no_name_is_one_sentence(mail_outbox, name: str, value: Any, said: str) -> None:
    with pytest.raises(TypeError) as caught:
        assert_mail_sent(**{name: value})
    assert str(caught.value) == said


def test_an_international_domain_is_found_where_a_server_has_it_in_ascii(smtp_server: ScriptedServer) -> None:
    send_mail("Hello", "Text.", None, ["ann@bücher.example"])
    assert_mail_sent(among=smtp_server, to="ann@bücher.example")


def test_djangos_messages_and_those_of_a_server_are_looked_at_the_same_way() -> None:
    django = DjangoMessage("Hello", "Text.", "a@example.com", ["Ann <ann@example.com>"], bcc=["eve@example.com"])
    django.attach_alternative("<b>HTML</b>", "text/html")
    django.attach("a.txt", "x", "text/plain")
    wanted: dict[str, Any] = {
        "to": "ann@example.com",
        "bcc": "eve@example.com",
        "text": "Text.",
        "html": "HTML",
        "attachments": "a.txt",
    }
    assert assert_mail_sent(among=[django], **wanted) == [django]
    with ScriptedServer() as server:
        smtp = get_connection("mailworker.mail.backends.smtp.EmailBackend", host=server.host, port=server.port)
        assert smtp.send_messages([django]) == 1
        (received,) = assert_mail_sent(among=server, subject="Hello", **wanted)
    assert received.recipients == ("ann@example.com", "eve@example.com")


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = mailworker.outbox
    yield
    assert mailworker.outbox is before
    assert eager.waiting() == []
