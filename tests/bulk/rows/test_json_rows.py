from __future__ import annotations

import io

import pytest

from mailworker.bulk.rows import Unreadable, open_rows
from mailworker.errors import RowsError


def read(content: bytes, name: str = "rows.jsonl"):
    file = io.BytesIO(content)
    file.name = name
    with open_rows(file) as source:
        return list(source)


def test_each_line_is_an_object_with_its_number():
    content = '\ufeff{"email": "ann@example.com", "n": 1}\r\n\n  \n{"email": "jörg@example.com", "tags": ["a"]}'
    assert read(content.encode()) == [
        (1, {"email": "ann@example.com", "n": 1}),
        (4, {"email": "jörg@example.com", "tags": ["a"]}),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "is no JSON: Expecting property name enclosed in double quotes, in column"),
        (b'["ann@example.com"]', "is JSON, and no object: expected {...}"),
        (b'{"n": NaN}', "is no JSON: NaN is no number in it"),
        (b'{"a": 1} {"b": 2}', "is no JSON: Extra data, in column 10"),
        (b'{"name": "J\xf6rg"}', "has a byte that utf-8 does not know"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"n": ' + b"1" * 5000 + b"}", "is no JSON"),
    ],
)
def test_a_line_that_is_none_is_a_bad_row_and_the_others_go_on(line, reason):
    bad, good = read(line + b'\n{"email": "ann@example.com"}\n')
    assert bad[0] == 1
    assert isinstance(bad[1], Unreadable)
    assert reason in bad[1].reason
    assert good == (2, {"email": "ann@example.com"})


def test_characters_that_break_lines_elsewhere_may_stand_in_a_value():
    assert read('{"name": "a\u2028b\x85c"}\n'.encode()) == [(1, {"name": "a\u2028b\x85c"})]


def test_a_file_without_line_breaks_is_no_list_and_no_full_memory():
    with pytest.raises(
        RowsError, match=r"line 1 of rows\.jsonl is longer than 16 MiB: expected one JSON object a line"
    ):
        read(b'[{"email": "ann@example.com"},' * 1_000_000)
