from __future__ import annotations

import re
import tracemalloc

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


@given(TRICKY)
def test_each_line_end_becomes_one_crlf_whatever_stands_beside_it(text):
    assert content.with_crlf(text) == re.sub(rb"\r\n|\r|\n", b"\r\n", text)


#: What a line of Python for each line end, or a search that begins again, would choke on.
HOSTILE = [b"\r", b"\n", b"\n.", b".", b"\r\n", b"\n\r", b"\r\n.", b"\r\r\n", b".\r\n", b"\0", b"text\n", b"text\r\n"]


def on_the_wire(text: bytes) -> bytes:
    return content.stuffed(content.normalised(text))


@pytest.mark.parametrize("piece", HOSTILE)
def test_no_content_takes_more_memory_than_a_few_times_its_size(piece):
    text = piece * (1_000_000 // len(piece))
    tracemalloc.start()
    try:
        result = on_the_wire(text)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Of a million CR come two million octets, and for a moment there are both them and what they are made of.
    assert len(result) <= 2 * len(text) + 3
    assert most <= 4 * len(text)


@given(TRICKY, st.integers(2, 12))
def test_content_in_blocks_is_the_same_content(text, size):
    normal = content.normalised(text)
    blocks = list(content.stuffed_blocks(normal, size))
    assert b"".join(blocks) == content.stuffed(normal)
    assert all(blocks)
    assert all(len(block) <= 2 * size for block in blocks)


@given(TRICKY, st.integers(2, 12))
def test_no_block_ends_between_cr_and_lf(text, size):
    for block in content.stuffed_blocks(content.normalised(text), size):
        assert not block.endswith(b"\r")
        assert not block.startswith(b"\n")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (b"Subject: x\r\n\r\nbody\r\n", False),
        ("Subject: Grüße\r\n\r\nbody\r\n".encode(), True),
        ("Subject: x\r\n\r\nGrüße\r\n".encode(), False),
        ("Subject: Grüße\r\n\r\nbody\r\n".encode("latin-1"), False),
        ("Grüße\r\n".encode(), False),
        (b"", False),
    ],
)
def test_a_header_in_utf_8_is_told_from_a_body_and_from_other_8_bit_text(message, expected):
    assert content.has_utf8_header(message) is expected
