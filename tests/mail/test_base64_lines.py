from __future__ import annotations

import base64
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.mail.base64_lines import base64_lines, write_base64

#: Octets of a line, and of the lines that are encoded at once.
LINE, BLOCK = 57, 57 * 512


def as_the_standard_library_does(content: bytes) -> bytes:
    return base64.encodebytes(content).replace(b"\n", b"\r\n")


@pytest.mark.parametrize("whole", [0, BLOCK, 3 * BLOCK])
@pytest.mark.parametrize("more", [0, 1, 2, LINE - 1, LINE, LINE + 1, BLOCK - 1])
def test_lines_are_cut_where_the_standard_library_cuts_them(whole, more):
    content = bytes(range(256)) * ((whole + more) // 256 + 1)
    content = content[: whole + more]
    assert base64_lines(content) == as_the_standard_library_does(content)


@given(st.binary(max_size=1000))
def test_any_octets_are_encoded_as_the_standard_library_does_it(content):
    assert base64_lines(content) == as_the_standard_library_does(content)


def test_a_large_file_is_never_encoded_as_a_whole():
    content = bytes(4_000_000)
    sizes: list[int] = []
    tracemalloc.start()
    try:
        write_base64(content, lambda piece: sizes.append(len(piece)))
        beside = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(sizes) == len(as_the_standard_library_does(content))
    assert beside < len(content) / 10
