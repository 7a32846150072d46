from __future__ import annotations

import re
import traceback
import unicodedata
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mailworker import mail
from mailworker.errors import InvalidAddress
from mailworker.mail import address


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("a@example.com", "a@example.com"),
        ("  a@example.com ", "a@example.com"),
        ("Ann <a@example.com>", "a@example.com"),
        ("Dr. Ann B. <a.b+c@Example.COM>", "a.b+c@Example.COM"),
        ('"Miller, Ann" <a@example.com>', "a@example.com"),
        ('"a> \\"x" <a@example.com>', "a@example.com"),
        ("山田\u3000太郎 <a@example.com>", "a@example.com"),
        ('"山田\u3000太郎" <a@example.com>', "a@example.com"),
        ("Jörg Müller <a@example.com>", "a@example.com"),
        ("a@example.com (work)", "a@example.com"),
        ("(work) a@example.com", "a@example.com"),
        ("<@relay.example,@other.example:a@example.com>", "a@example.com"),
        ("a@bücher.example", "a@xn--bcher-kva.example"),
        ("a@faß.example", "a@fass.example"),
        ("jörg@bücher.example", "jörg@xn--bcher-kva.example"),
        ("日本@example.com", "日本@example.com"),
        ('"john doe"@example.com', '"john doe"@example.com'),
        ('"a\\"b\\\\c"@example.com', '"a\\"b\\\\c"@example.com'),
        ("a..b@example.com", '"a..b"@example.com'),
        ("a@[192.0.2.1]", "a@[192.0.2.1]"),
        ("a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]"),
        ("a@localhost", "a@localhost"),
        ("a_b@host_name.example", "a_b@host_name.example"),
        ("postmaster", "postmaster"),
        (("Ann", "a@example.com"), "a@example.com"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
    ],
)
def test_the_envelope_holds_the_bare_address(text, bare):
    assert address.envelope_address(text) == bare


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "<>",
        "@example.com",
        "a@",
        "not an address",
        "Ann a@example.com",
        "a@example.com, b@example.com",
        "a@example.com b@example.com",
        "a@example.com> NOTIFY=NEVER",
        "a@example.com> ORCPT=rfc822;x",
        "<a@example.com> NOTIFY=NEVER",
        ("", "a@example.com> NOTIFY=NEVER"),
        ("", "a@exa mple.com"),
        ("", "a\r\nRCPT TO:<b@c>@example.com"),
        "a\r\n@example.com",
        "a@example.com\n",
        "a@example.com\r",
        "a\x00@example.com",
        "a\x0b@example.com",
        '"a\r\nb"@example.com',
        "a\u2028b@example.com",
        "a\x85b@example.com",
        "a@x..example",
        "a@.example",
        "a@example.com.",
        "a@-example.com",
        "a@[192.0.2.1] x",
        "a@[192.0.2.1\\]]",
        "a@b\uff20evil.example",
        "a@b\uff1eNOTIFY.example",
        "a@x\u3000y.example",
        "a@x. y.example",
        '"a@b"',
        "a . b@example.com",
        "a@x(comment).example",
        ("", "a@"),
        ("", "@@"),
        "a@" + "x" * 64 + ".example",
        "a@" + "é" * 70 + ".example",
        "a" * 65 + "@example.com",
        "ü" * 33 + "@example.com",
        "a@" + "x." * 127 + "example",
        "\udc80@example.com",
        "a" * 5000,
        "(" * 1500,
        "Team: a@x.example, b@y.example;",
    ],
)
def test_what_is_no_single_address_never_reaches_the_envelope(text):
    with pytest.raises(InvalidAddress) as caught:
        address.envelope_address(text)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


@given(st.one_of(st.text(max_size=60), st.text('ab@.<>"(),:;\\[] \r\n\0é', max_size=30)))
def test_any_text_gives_an_address_that_fits_one_command_or_is_refused(text):
    for given_as in (text, ("", text)):
        try:
            bare = address.envelope_address(given_as)
        except InvalidAddress:
            continue
        assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in bare)
        local, _, domain = bare.rpartition("@") if not bare.endswith('"') else (bare, "", "")
        local, domain = (local, domain) if local else (domain, "")
        assert not set(domain) & set(' <>"()\\,;')
        assert local.startswith('"') == local.endswith('"')
        if not local.startswith('"'):
            assert not set(local) & set(' <>"()\\,;:@')
        assert address.envelope_address(bare) == bare


@given(st.text('aé "\\.<>@', min_size=1, max_size=10))
def test_a_quoted_local_part_survives_being_parsed_again(local):
    quoted = '"{}"@example.com'.format(local.replace("\\", "\\\\").replace('"', '\\"'))
    try:
        bare = address.envelope_address(quoted)
    except InvalidAddress:
        return
    assert address.envelope_address(bare) == bare


@pytest.fixture
def parsed(monkeypatch):
    """Reads an address by the standard library's parser alone, as if none looked simple."""

    def read(text: str) -> Any:
        with monkeypatch.context() as patched:
            patched.setattr(address, "_SIMPLE", re.compile(r"(?!)"))
            return outcome(lambda: address._bare(text))

    return read


def outcome(read: Any) -> Any:
    try:
        return read()
    except InvalidAddress:
        return InvalidAddress


spec = st.sampled_from(["a@b.example", "A.b+c@x-y.Example", "o'x@localhost", "a..b@c", "é@b", "a" * 65 + "@b"])
name = st.one_of(st.text(max_size=20), st.text("ab ,.:;<>()@[]=?\\\u3000\xa0\x85é_-'", max_size=20))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=name, spec=spec, spaces=st.lists(st.sampled_from(["", " ", "\t"]), min_size=3, max_size=3))
@example(name="Miller, Ann", spec="a@b.example", spaces=["", " ", ""])
@example(name=" ", spec="a@b.example", spaces=["", "", ""])
@example(name="a\x85", spec="a@b.example", spaces=["", "", ""])
@example(name="a\\", spec="a@b.example", spaces=["", "", ""])
@example(name="a\u2028", spec="a@b.example", spaces=["", "", ""])
@example(name="=?utf-8?q?x?=", spec="a@b.example", spaces=["", " ", ""])
def test_a_name_in_quotes_is_passed_over_as_the_parser_does_it(parsed, name, spec, spaces):
    before, between, after = spaces
    text = f'{before}"{name}"{between}<{spec}>{after}'
    assert outcome(lambda: address._bare(text)) == parsed(text)


@pytest.mark.parametrize(
    "text", ['"Miller, Ann" <a@b.example>', '"Jörg (Büro)"<a@b.example>', "Ann <a@b.example>", "a@b"]
)
def test_no_parser_is_asked_for_what_nearly_all_addresses_look_like(monkeypatch, text):
    monkeypatch.setattr(address, "_parse", None)
    address._kept.cache_clear()
    assert address.envelope_address(text) in ("a@b.example", "a@b")


def test_an_address_is_read_once_for_all_who_ask(monkeypatch):
    text = "Ann <ann@bücher.example>"
    sent = Sent(text)
    first = (
        address.recipient_keys(sent),
        address.envelope_recipients(sent),
        address.envelope_sender(SimpleNamespace(from_email=text)),
    )
    monkeypatch.setattr(address, "_parse", None)
    monkeypatch.setattr(address, "_SIMPLE", None)
    again = (
        address.recipient_keys(sent),
        address.envelope_recipients(sent),
        address.envelope_sender(SimpleNamespace(from_email=text)),
    )
    assert again == first == (["ann@xn--bcher-kva.example"],) * 2 + ("ann@xn--bcher-kva.example",)


def test_what_is_no_address_is_so_each_time_and_nothing_long_is_remembered():
    for _ in range(2):
        with pytest.raises(InvalidAddress):
            address.envelope_address("no address")
    kept = address._kept.cache_info().currsize
    assert address.envelope_address("x" * 600 + " <a@b.example>") == "a@b.example"
    assert address._kept.cache_info().currsize == kept


class Sent:
    def __init__(self, *to: Any) -> None:
        self.to = to

    def recipients(self) -> Any:
        return self.to


def test_recipients_come_once_in_order_and_blank_ones_not_at_all():
    sent = Sent("b@example.com", "Ann <a@example.com>", "", "  ", "a@EXAMPLE.com", "A@example.com", "B <b@example.com>")
    assert address.envelope_recipients(sent) == ["b@example.com", "a@example.com", "A@example.com"]


def test_a_group_stands_for_its_members_and_an_empty_one_for_nobody():
    sent = Sent("undisclosed-recipients:;", "Team: a@x.example, Bé <b@bücher.example>; ", "c@example.com")
    assert address.envelope_recipients(sent) == ["a@x.example", "b@xn--bcher-kva.example", "c@example.com"]


@pytest.mark.parametrize(
    "text", ["Team: a@x.example, nonsense here;", "Team: a@x> NOTIFY=x;", "Team: a@x.example; b@y"]
)
def test_a_group_with_something_else_in_it_is_refused(text):
    with pytest.raises(InvalidAddress):
        address.envelope_recipients(Sent(text))


def test_outcomes_are_keyed_by_bare_addresses_and_by_the_text_of_what_is_none():
    assert address.recipient_keys(Sent("Ann <a@example.com>", "a@example.com", "no address")) == [
        "a@example.com",
        "no address",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "Ann <ann.secret@example.com> x",
        "ann.secret@example.com bob.secret@example.com",
        ("Ann", "ann.secret@x..example"),
        "ann.secret@exa mple.com",
        "Team: ann.secret@x> NOTIFY=x;",
        '"ann.secret\r\n"@example.com',
    ],
)
@pytest.mark.parametrize("read", [address.envelope_addresses, lambda text: address.sanitize_address(text, "utf-8")])
def test_no_error_shows_a_whole_address_in_its_text_or_its_traceback(text, read):
    with pytest.raises(InvalidAddress) as caught:
        read(text)
    assert "secret" not in "".join(traceback.format_exception_only(caught.value))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_the_null_sender_is_the_empty_reverse_path():
    message = mail.EmailMessage(from_email="<>", to=["a@b.example"])
    assert address.envelope_sender(message) == ""
    message.from_email = "Ann <a@bücher.example>"
    assert address.envelope_sender(message) == "a@xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("text", "domain"),
    [("a@bücher.example", "xn--bcher-kva.example"), ("root", None), ("no address", None), ("", None)],
)
def test_the_domain_of_an_address_is_ascii_or_unknown(text, domain):
    assert address.domain_of(text) == domain


@pytest.mark.parametrize("pair", [("Ann", "no-at"), ("Ann\n", "a@b"), ("Ann", "a\r@b"), ("", "a@b..c")])
def test_a_pair_that_is_no_address_is_not_put_into_a_header(pair):
    with pytest.raises(InvalidAddress):
        address.sanitize_address(pair, "utf-8")


def test_a_display_name_and_a_domain_beyond_ascii_are_encoded_in_a_header():
    shown = address.sanitize_address("Jörg <j@bücher.example>", "utf-8")
    assert shown == "=?utf-8?b?SsO2cmc=?= <j@xn--bcher-kva.example>"
