from __future__ import annotations

from email.header import Header

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from mailworker.mail.encoded_word import encoded_mailboxes, encoded_words
from mailworker.mail.header import forbid_multi_line_headers

one_line = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
texts = st.one_of(
    st.text(one_line, min_size=1, max_size=150),
    st.text("abc é日😀=_?-!*+/.", min_size=1, max_size=300),
    st.text("abcdefé", min_size=40, max_size=100),
    st.text("日é", min_size=15, max_size=60),
)
names = st.one_of(
    st.text("abé日 _'-1.", max_size=40),
    st.text(st.characters(categories=["L", "M", "N", "So", "Zs"], include_characters=" "), max_size=30),
    st.sampled_from(["Jörg Müller", "Ann", "x" * 80, "é" * 30, '"Müller, J"', "=?utf-8?q?x?=", "Dr. É"]),
)
specs = st.sampled_from(
    ["a@b.example", "A.b+c@x-y.Example", "o'x@localhost", "a@b_c", "é@b", "a@é.example", "a..b@c", "root"]
)


@settings(max_examples=200, deadline=None)
@given(texts)
@example("é" * 100)
@example("日" * 16)
@example("日" * 17)
@example("a" * 24 + "日" * 8)
@example("é" + "a" * 60)
@example("é" + "a" * 61)
@example("é" + "a" * 60 + "b" * 65 + "c")
@example("a" * 66 + "é")
@example("😀" * 13)
@example("=" * 22 + "é")
def test_text_is_encoded_and_broken_as_the_standard_library_does_it(text):
    words = encoded_words(text)
    event("base64" if "?b?" in words[0] else "quoted")
    event("one word" if len(words) == 1 else "more words")
    assert "\n ".join(words) == Header(text, "utf-8").encode()


@settings(deadline=None)
@given(st.lists(st.builds("{} <{}>".format, names, specs) | specs, min_size=1, max_size=5).map(", ".join))
@example("Jörg Müller <a@b.example>, Ann <c@d.example>, e@f.example")
@example("x" * 70 + " <a@b.example>, é <a@b>")
@example("word " * 20 + "<a@b.example>, é <a@b>")
def test_mailboxes_are_encoded_as_the_standard_library_does_it(text):
    written = encoded_mailboxes(text)
    event("left to the standard library" if written is None else "written directly")
    if written is None or text.isascii():
        return
    assert written == forbid_multi_line_headers("To", text, "utf-8")[1]


@pytest.mark.parametrize(
    "text",
    ["Jörg Müller <a@b.example>", "a@b.example, Ann-Zoë van O'Neil <c@D.example>", "日本 <a@b>, Ann <c@d>"],
)
def test_what_most_mailboxes_look_like_is_written_directly(text):
    assert encoded_mailboxes(text) == forbid_multi_line_headers("To", text, "utf-8")[1]


@pytest.mark.parametrize(
    "text",
    [
        *("É", "é@b.example", "a@é.example", '"É, x" <a@b>', "É. X <a@b>", "É <a@b> (c)", "É  X <a@b>", " É <a@b>"),
        *("É <a@b>,c@d", "É <a@b>; c@d", "É: a@b;", "É <a@b>, ", "É <a..b@c>", "É " + "x" * 90 + " <a@b>", "É\t<a@b>"),
    ],
)
def test_mailboxes_of_another_form_are_left_to_the_standard_library(text):
    assert encoded_mailboxes(text) is None


def test_long_text_is_looked_at_once():
    class Counted(dict[str, str]):
        looks = 0

        def get(self, *args: str) -> str | None:  # type: ignore[override]
            self.looks += 1
            return super().get(*args)

    from mailworker.mail import encoded_word

    was = encoded_word._QUOTED_ASCII
    counted = Counted(was)
    encoded_word._QUOTED_ASCII = counted
    try:
        encoded_words("a" * 3000 + "é")
    finally:
        encoded_word._QUOTED_ASCII = was
    assert counted.looks == 3001
