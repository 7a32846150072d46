"""A row as bytes: small, and read as it was written."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.errors import CodecError
from mailworker.mail.letter import BadRow, Letter, read_row, write_row
from mailworker.mail.sealing import Sealer

Write = Callable[..., Path]

PLAIN = Sealer()


def letter(columns: tuple[str, ...] | None) -> Letter:
    return Letter(
        template="news",
        engine="jinja2",
        subject="news.subject.txt",
        text="news.txt",
        html=None,
        sources={},
        images={},
        from_email="shop@example.com",
        columns=columns,
    )


LISTED, OPEN = letter(("city", "email", "name")), letter(None)

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(row=st.dictionaries(st.sampled_from(["email", "name", "city", "other"]), values))
def test_what_is_read_is_what_was_written(row: dict[str, Any]) -> None:
    there = {name: value for name, value in row.items() if value is not None}
    for one, columns in ((LISTED, {"email", "name", "city"}), (OPEN, set(row))):
        letter_id, found = read_row(write_row(one, row, PLAIN), PLAIN)
        assert letter_id == one.id
        assert one.named(found) == {name: value for name, value in there.items() if name in columns}


def test_a_row_has_little_beside_its_values() -> None:
    row = {"email": "ann@example.com", "name": "Ann", "city": None, "other": "not asked for"}
    assert write_row(LISTED, row, PLAIN)[13:] == b'[null,"ann@example.com","Ann"]'
    large = write_row(LISTED, {"email": "ann@example.com", "name": "Ann " * 1000}, PLAIN)
    assert len(large) < 200
    assert LISTED.named(read_row(large, PLAIN)[1])["name"] == "Ann " * 1000


def test_times_and_the_like_become_text_as_people_read_them() -> None:
    row = {
        "a": date(2026, 12, 1),
        "b": datetime(2026, 12, 1, 9, 30, tzinfo=UTC),
        "c": [time(9, 30), Decimal("12.50")],
        "d": UUID(int=7),
    }
    assert OPEN.named(read_row(write_row(OPEN, row, PLAIN), PLAIN)[1]) == {
        "a": "2026-12-01",
        "b": "2026-12-01 09:30:00+00:00",
        "c": ["09:30:00", "12.50"],
        "d": "00000000-0000-0000-0000-000000000007",
    }


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({1}, "name: it holds a value of type set; expected text"),
        (b"x", "name: it holds a value of type bytes; expected text"),
        ([object()], "name: it holds a value of type object; expected text"),
        ({("a",): 1}, "name: keys must be str"),
        (float("inf"), "name: it is no number, or an infinite one"),
        ("\ud800", "name: half a character"),
        (nested(100_000), "name: it is nested too deeply"),
    ],
)
def test_what_cannot_be_carried_is_a_bad_row_that_names_the_column(value: Any, reason: str) -> None:
    for one in (LISTED, OPEN):
        with pytest.raises(BadRow) as caught:
            write_row(one, {"email": "ann@example.com", "name": value}, PLAIN)
        assert caught.value.reason.startswith(reason)
    with pytest.raises(BadRow, match="a column whose name is NoneType"):
        write_row(OPEN, {None: "x"}, PLAIN)  # type: ignore[dict-item]


def test_bytes_that_are_no_row_are_refused() -> None:
    row = write_row(LISTED, {"email": "ann@example.com", "name": "x" * 4000}, PLAIN)
    plain = write_row(LISTED, {"email": "ann@example.com"}, PLAIN)
    wrong = [
        b"",
        b"mwm" + row[3:],
        row[:3],
        row[:13],
        row[:3] + b"\x09" + row[4:],
        row[:4] + b"\x08" + row[5:],
        row[:-1],
        row + b"x",
    ]
    wrong += [plain[:13] + b"NaN", plain[:13] + b"7", plain[:13] + b"[" * 100_000, plain[:-1], plain[:13] + b"\xff"]
    for each in wrong:
        with pytest.raises(CodecError):
            read_row(each, PLAIN)
    for other in (letter(("email",)), OPEN):
        with pytest.raises(CodecError, match="other columns"):
            other.named(read_row(row, PLAIN)[1])
