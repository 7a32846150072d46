from __future__ import annotations

import re
import time
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


@pytest.mark.parametrize("piece", HOSTILE)
def test_four_times_the_content_takes_about_four_times_the_work(piece):
    def work(size: int) -> int:
        text = piece * (size // len(piece))
        taken = []
        for _ in range(5):
            began = time.process_time_ns()
            on_the_wire(text)
            taken.append(time.process_time_ns() - began)
        return min(taken)

    # With work that grows with the square it would be sixteen times; the processor's caches cost some of the rest.
    assert work(1_000_000) < 10 * work(250_000) + 1_000_000
