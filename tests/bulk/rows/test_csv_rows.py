from __future__ import annotations

import csv
import gzip
import io
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.bulk.rows import Unreadable, open_rows
from mailworker.errors import RowsError


@pytest.fixture
def read(tmp_path):
    """Write a file and read its rows."""

    def rows(content, name="rows.csv", **options):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with open_rows(path, **options) as source:
            return list(source)

    return rows


def reasons(rows):
    return {line: row.reason for line, row in rows if isinstance(row, Unreadable)}


def test_each_line_after_the_header_is_a_row_with_its_number(read):
    assert read("email,name\nann@example.com,Ann\nbob@example.com,Bob\n") == [
        (2, {"email": "ann@example.com", "name": "Ann"}),
        (3, {"email": "bob@example.com", "name": "Bob"}),
    ]


def test_a_byte_order_mark_and_the_ends_of_lines_of_other_systems_are_no_part_of_values(read):
    expected = [(2, {"email": "jörg@example.com", "name": "Jörg"})]
    text = "email,name\r\njörg@example.com,Jörg\r\n"
    assert read(b"\xef\xbb\xbf" + text.encode()) == expected
    assert read(text.encode("utf-16")) == expected
    assert read(text.replace("\r\n", "\r")) == expected
    assert read(text.rstrip()) == expected


def test_quotes_hold_delimiters_quotes_and_line_breaks_and_lines_are_counted_as_an_editor_does(read):
    content = 'email,note\n\na@example.com,"one, ""two""\nthree\r\nfour"\n\n   \nb@example.com,plain\n,\n"c@example.com","x"\n'
    assert read(content) == [
        (3, {"email": "a@example.com", "note": 'one, "two"\nthree\r\nfour'}),
        (8, {"email": "b@example.com", "note": "plain"}),
        (10, {"email": "c@example.com", "note": "x"}),
    ]


def test_empty_lines_before_the_header_are_passed_over_and_counted(read):
    assert read("\n\n email ; name \nann@example.com; Ann\n") == [(4, {"email": "ann@example.com", "name": " Ann"})]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_delimiter_is_what_parts_the_header_into_most_columns(read, delimiter):
    content = f'email{delimiter}"name, first; or last"\nann@example.com{delimiter}"A, B; C"\n'
    assert read(content) == [(2, {"email": "ann@example.com", "name, first; or last": "A, B; C"})]


def test_another_delimiter_and_encoding_can_be_asked_for(read):
    content = "email|name\njörg@example.com|Jörg, der\n".encode("cp1252")
    assert read(content, delimiter="|", encoding="cp1252") == [(2, {"email": "jörg@example.com", "name": "Jörg, der"})]


def test_one_column_is_enough(read):
    assert read("email\nann@example.com\n\nbob@example.com\n") == [
        (2, {"email": "ann@example.com"}),
        (4, {"email": "bob@example.com"}),
    ]


def test_a_line_with_more_or_fewer_values_is_a_bad_row_and_the_others_go_on(read):
    rows = read("email,name\na@example.com\nb@example.com,B\nc@example.com,C,c\n")
    assert reasons(rows) == {
        2: "has 1 value and the header 2 columns",
        4: "has 3 values and the header 2 columns",
    }
    assert [line for line, _ in rows] == [2, 3, 4]


def test_a_quote_that_is_not_closed_is_a_bad_row_that_tells_how_far_it_goes(read):
    rows = read('email,name\na@example.com,"A\nb@example.com,B\nc@example.com,"C"\nd@example.com,D\n')
    assert reasons(rows) == {
        2: """is no CSV: ',' expected after '"' (it goes on to line 4: is a quotation mark missing?)"""
    }
    assert rows[-1] == (5, {"email": "d@example.com", "name": "D"})
    assert "unexpected end of data" in reasons(read('email,name\nb@example.com,B\na@example.com,"A'))[3]


def test_a_value_without_an_end_is_a_bad_row_and_no_full_memory(read):
    rows = read('email,name\na@example.com,"' + "x\n" * 100_000 + '\nb@example.com,"B"\n')
    assert "field larger than field limit" in reasons(rows)[2]


def test_bytes_of_another_encoding_are_bad_rows_that_say_what_to_do(read):
    rows = read(b"email,name\na@example.com,J\xf6rg\nb@example.com,Bob\n\xf6@example.com,x\n")
    assert reasons(rows) == dict.fromkeys(
        (2, 4),
        "has a byte that utf-8 does not know: save the list as UTF-8, or name its encoding, such as cp1252 (encoding, --encoding)",
    )
    assert rows[1] == (3, {"email": "b@example.com", "name": "Bob"})


def test_a_file_that_is_not_in_the_encoding_that_was_named_says_which(tmp_path):
    path = tmp_path / "list.csv"
    path.write_bytes(b"email,name\na@example.com,Ann\n")
    with (
        pytest.raises(RowsError, match=r"list.csv is not in utf-16 \(see encoding, --encoding\)$"),
        open_rows(path, encoding="utf-16"),
    ):
        pass


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty: expected a first line with the names of the columns"),
        ("\n\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (
            "email,name,email\na,b,c\n",
            "the first line of {path} has two columns 'email': give one of them another name",
        ),
        ("email, ,name\n", "has no name for column 2: give it one, or take it out"),
        ("ann@example.com,Ann\n", "has an @ in it: expected the names of the columns, such as email,name"),
        (b"email,\xf6\n", "has a byte that utf-8 does not know"),
        ('email,"name\n', "the header of {path} is no CSV: unexpected end of data"),
    ],
)
def test_a_header_that_names_no_columns_is_one_clear_error(read, tmp_path, content, said):
    with pytest.raises(RowsError) as error:
        read(content)
    assert said.format(path=tmp_path / "rows.csv") in str(error.value)
    assert "ann" not in str(error.value)


@pytest.mark.parametrize("delimiter", [";;", '"', "\n"])
def test_what_cannot_stand_between_values_is_refused(read, delimiter):
    with pytest.raises(RowsError, match="expected one character"):
        read("email;name\n", delimiter=delimiter)


def test_gzip_is_known_by_its_bytes(read):
    content = gzip.compress(b"email,name\nann@example.com,Ann\n")
    for name in ("rows.csv.gz", "rows.csv"):
        assert read(content, name) == [(2, {"email": "ann@example.com", "name": "Ann"})]


def test_a_gzip_file_that_is_cut_off_is_no_list(read):
    content = gzip.compress(b"email,name\n" + b"".join(b"u%d@example.com,Ann\n" % n for n in range(100_000)))
    for size in (3, 20, len(content) // 2, len(content) - 4):
        with pytest.raises(RowsError, match="cannot be unpacked"):
            read(content[:size], "rows.csv.gz")


def test_an_unknown_encoding_is_one_clear_error(read):
    with pytest.raises(RowsError, match="there is no encoding 'utf-9': expected one such as utf-8"):
        read("email\n", encoding="utf-9")


#: What stands in CSV files: everything but what no encoding can carry.
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.lists(st.tuples(VALUES.filter(str.strip), VALUES), max_size=20), st.sampled_from(",;\t"))
def test_what_the_standard_librarys_writer_wrote_is_read_as_it_was(rows, delimiter):
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerow(["email", "name"])
    writer.writerows(rows)
    with open_rows(io.BytesIO(file.getvalue().encode())) as source:
        read = [tuple(values.values()) for _, values in source if not isinstance(values, Unreadable)]
    assert read == rows


@given(st.text(string.printable, max_size=300))
def test_no_text_whatever_ends_in_anything_but_rows_or_one_clear_error(text):
    try:
        with open_rows(io.StringIO(f"email,name\n{text}", newline="")) as source:
            rows = list(source)
    except RowsError:
        raise AssertionError("only the header can be wrong") from None
    numbers = [line for line, _ in rows]
    assert numbers == sorted(set(numbers))
    assert all(line > 1 for line in numbers)
