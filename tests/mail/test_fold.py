from __future__ import annotations

import re
from email.charset import BASE64, CHARSETS, add_charset

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from mailworker import mail
from mailworker.mail.fold import Uncommon, check_safe, field, lower_name, value_of
from mailworker.mail.render import flatten
from tests.mail.oracle_messages import plain_word, usual_address

names = st.sampled_from(["Subject", "subject", "To", "X-A", "List-Unsubscribe", "Content-Disposition", "X" * 90])
words = st.lists(plain_word, max_size=30).map(" ".join)


def by_the_standard_library(name: str, value: str) -> str:
    part = mail.SafeMIMEText("", "plain", "utf-8")
    part[name] = value
    _, _, rest = flatten(part, "\r\n").decode("ascii").partition("Encoding: 7bit\r\n")
    return rest.removesuffix("\r\n")


@settings(max_examples=200, deadline=None)
@given(names, words)
@example("Subject", "x" * 68 + " y")
@example("Subject", "x" * 69)
@example("Subject", "x" * 70)
@example("X-A", "x" * 73)
@example("X-A", "x" * 74)
@example("X-A", "x" * 1200)
@example("X-A", "x" * 1200 + " y " * 60 + "z")
@example("X-A", "a; " + "b " * 50 + "c" * 60 + " d e, f")
@example("X-A", "a, " + "b " * 33 + "c" * 60 + " " + "d" * 60)
@example("Subject", "a; " + "b" * 74 + " " + "c" * 74 + " d")
@example("Subject", "x" * 80 + " y; z " + "w " * 90 + "v")
@example("To", ", ".join(f"recipient{number}@example.com" for number in range(100)))
@example("X" * 90, "")
def test_words_are_folded_where_the_standard_library_folds_them(name, value):
    folded = field(name, value)
    event("folded" if "\r\n " in folded else "on one line")
    assert folded == by_the_standard_library(name, value)


@settings(max_examples=150, deadline=None)
@given(
    names.filter(lambda name: name != "To"),
    st.one_of(st.text(" a;,x\t", max_size=200), st.text("ab é日😀\xa0\u200d\t", max_size=120)),
)
@example("Subject", " " * 100)
@example("Subject", "x" * 69 + " ")
@example("Subject", "x " * 50 + " ")
@example("X-A", " x" + " y" * 50)
@example("X-A", "x\t" * 50)
@example("Subject", "é" * 600)
def test_odd_spaces_and_other_scripts_are_written_as_the_standard_library_does_it(name, value):
    assert field(name, value) == by_the_standard_library(name, value)


@given(st.lists(usual_address, min_size=1, max_size=5).map(", ".join))
def test_addresses_are_encoded_mailbox_by_mailbox(value):
    for name in ("To", "Sender", "X-To"):
        assert field(name, value) == by_the_standard_library(name, value)


@settings(max_examples=150)
@given(st.sampled_from(["Subject", "To", "X-A"]), st.text(st.characters(), max_size=120))
@example("X-A", "a\x0bBcc: x")
@example("X-A", "a\x85Bcc: é")
@example("X-A", "x\ny")
@example("X-A", "\udc80")
@example("To", "é")
def test_whatever_the_text_is_no_line_begins_with_anything_but_a_space(name, value):
    try:
        written = field(name, value)
    except Uncommon:
        return
    assert written.isascii()
    assert written.startswith(f"{name}: ")
    assert re.fullmatch(r"[^\r\n]+\r\n(?:[ \t][^\r\n]*\r\n)*", written)


@pytest.mark.parametrize(
    "separator", ["\r", "\n", "\0", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029"]
)
@pytest.mark.parametrize("text", ["a{}b", "é{}b", "{}", "a" * 100 + "{}"])
def test_what_splits_lines_anywhere_is_not_written_directly(separator, text):
    for look in (check_safe, lambda value: field("X-A", value)):
        with pytest.raises(Uncommon):
            look(text.format(separator))


@pytest.mark.parametrize(
    ("name", "value"),
    [("Subject", "é and what else there is"), ("Sender", '"Müller, Jörg in the office" <a@b.example>')],
)
def test_a_charset_that_is_registered_anew_counts_at_once(name, value):
    before = field(name, value)
    assert "?q?" in before
    was = CHARSETS["utf-8"]
    try:
        add_charset("utf-8", BASE64, None, "utf-8")
        assert "?b?" in field(name, value)
        assert field(name, value) == by_the_standard_library(name, value)
    finally:
        CHARSETS["utf-8"] = was
    assert field(name, value) == before


@pytest.mark.parametrize("name", ["", "X A", "X:", "é", "X\n", "X\x7f"])
def test_a_name_is_printable_ascii(name):
    with pytest.raises(Uncommon):
        lower_name(name)
    assert lower_name("X-é".encode("ascii", "replace").decode()) == "x-?"


def test_a_value_is_text_or_a_number():
    assert (value_of("a"), value_of(1), value_of(-3)) == ("a", "1", "-3")

    class Text(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "a\nBcc: x"

    for other in (Text("a"), None, True, 1.5, b"a", 10**12, ["a"]):
        with pytest.raises(Uncommon):
            value_of(other)
