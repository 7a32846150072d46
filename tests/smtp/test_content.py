from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.smtp import content

#: Bytes in which line ends and dots are as frequent as everything else together.
TRICKY = st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b".", b"..", b"a", b"\x00", b"\xff"]), max_size=30).map(
    b"".join
)


@given(TRICKY)
def test_no_bare_cr_or_lf_is_left(text):
    normal = content.normalised(text)
    assert not re.search(rb"\r(?!\n)|(?<!\r)\n", normal)
    assert not normal or normal.endswith(b"\r\n")


@given(TRICKY)
def test_normalising_changes_line_ends_only_and_once(text):
    normal = content.normalised(text)
    assert normal.translate(None, b"\r\n") == text.translate(None, b"\r\n")
    assert content.normalised(normal) == normal


@given(TRICKY)
def test_no_line_of_stuffed_content_is_a_lone_dot(text):
    lines = content.stuffed(content.normalised(text)).split(b"\r\n")
    assert b"." not in lines
    assert all(line.startswith(b"..") for line in lines if line.startswith(b"."))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (b"a\nb", b"a\r\nb\r\n"),
        (b"a\rb\r", b"a\r\nb\r\n"),
        (b"a\n\rb", b"a\r\n\r\nb\r\n"),
        (b"a\r\r\nb", b"a\r\n\r\nb\r\n"),
        (b"", b""),
    ],
)
def test_every_kind_of_line_end_becomes_crlf(given, expected):
    assert content.normalised(given) == expected
