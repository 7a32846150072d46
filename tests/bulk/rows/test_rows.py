from __future__ import annotations

import gzip
import io
import subprocess
import sys
from collections import UserDict
from pathlib import Path

import pytest

from mailworker.bulk.rows import Unreadable, named, open_rows
from mailworker.errors import RowsError
from tests.bulk.peak import PEAK
from tests.processes import clean_environment

ROW = {"email": "ann@example.com"}


def read(rows, **options):
    with open_rows(rows, **options) as source:
        return list(source)


def test_the_end_of_a_files_name_says_what_it_is(tmp_path):
    for name, content in {
        "a.csv": b"email\nann@example.com\n",
        "a.TSV": b"email\nann@example.com\n",
        "a.jsonl": b'\n{"email": "ann@example.com"}\n',
        "a.ndjson": b'\n{"email": "ann@example.com"}\n',
        "list": b"email\nann@example.com\n",
    }.items():
        for path in (tmp_path / name, tmp_path / f"{name}.gz"):
            path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
            assert read(path) == read(str(path)) == [(2, ROW)], path


@pytest.mark.parametrize("content", ["email\nann@example.com\n", '{"email": "ann@example.com"}\n'])
def test_what_has_no_name_is_known_by_its_first_line_and_stays_open(content):
    for file in (io.StringIO(content), io.BytesIO(content.encode()), io.BytesIO(gzip.compress(content.encode()))):
        ((_, row),) = read(file)
        assert row == ROW
        assert not file.closed


def test_an_open_file_stays_open(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("\ufeffemail\nann@example.com\n", encoding="utf-8")
    with path.open("rb") as file:
        assert read(file) == [(2, ROW)]
        assert not file.closed
    with path.open(encoding="utf-8", newline="") as text:
        assert read(text) == [(2, ROW)]
        assert not text.closed
    with path.open("rb", buffering=0) as raw:
        assert read(raw) == [(2, ROW)]
        assert not raw.closed


def test_mappings_of_any_kind_are_rows_counted_from_one():
    assert read([ROW, UserDict(ROW)]) == [(1, ROW), (2, UserDict(ROW))]
    assert read({**ROW, "n": n} for n in range(2)) == [(1, {**ROW, "n": 0}), (2, {**ROW, "n": 1})]
    ((_, bad),) = read([("ann@example.com", "Ann")])
    assert bad == Unreadable("is tuple: expected a mapping of columns to values")


@pytest.mark.parametrize("rows", [5, None, ROW, b"email\n"])
def test_what_is_no_list_of_rows_is_a_type_error(rows):
    with pytest.raises(TypeError, match="expected the path of a file, an open file, or an iterable of mappings"):
        read(rows)


def test_a_file_that_is_not_there_or_of_another_format_is_one_clear_error(tmp_path):
    with pytest.raises(RowsError, match=r"there is no file .*none\.csv"):
        read(tmp_path / "none.csv")
    with pytest.raises(RowsError, match=r"cannot be read \(Is a directory\)"):
        read(tmp_path)
    (tmp_path / "a.xlsx").write_bytes(b"PK")
    with pytest.raises(
        RowsError, match=r"a\.xlsx ends in \.xlsx, which is no format of rows: expected \.csv, \.tsv, \.jsonl or"
    ):
        read(tmp_path / "a.xlsx")


def test_how_much_of_a_list_is_read_is_known_where_its_size_is(tmp_path):
    lines = "".join(f"user{n}@example.com\n" for n in range(200_000))
    for path in (tmp_path / "a.csv", tmp_path / "a.csv.gz"):
        content = f"email\n{lines}".encode()
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        shares = []
        with open_rows(path) as source:
            for n, _ in source:
                if n % 20_000 == 0:
                    shares.append(source.share() or 0)
        assert shares == sorted(shares)
        assert shares[0] < 0.5
        assert shares[-1] == 1.0
    with open_rows([ROW, ROW]) as source:
        assert [source.share() for _ in source] == [0.5, 1.0]
    with open_rows(iter([ROW])) as source:
        assert [source.share() for _ in source] == [None]


def test_where_rows_come_from_is_told_by_an_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("email\n")
    with Path("a.csv").open() as file:
        assert named("a.csv") == named(Path("a.csv")) == named(file) == str(tmp_path / "a.csv")
    assert named([]) == named(sys.stdin) == ""


def test_many_rows_are_read_in_little_memory(tmp_path):
    program = (
        PEAK + "import sys\n"
        "from mailworker.bulk.rows import open_rows\n"
        "before = peak()\n"
        "with open_rows(sys.argv[1]) as source:\n"
        "    n = sum(1 for _ in source)\n"
        "print(n, peak() - before)\n"
    )
    path = tmp_path / "a.csv.gz"
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.write("email,name\n")
        file.writelines(f"user{n}@example.com,User {n}\n" for n in range(300_000))
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True, env=clean_environment()
    )
    number, megabytes = map(int, done.stdout.split())
    assert number == 300_000
    assert megabytes < 8


DJANGO = """
import django, sys
from django.conf import settings
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=[], DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)
django.setup()
from django.db import connection, models

class City(models.Model):
    name = models.CharField(max_length=20)
    class Meta:
        app_label = "shop"

class Customer(models.Model):
    email = models.EmailField()
    joined = models.DateField(null=True)
    city = models.ForeignKey(City, models.CASCADE, null=True)
    picture = models.FileField(upload_to="x")
    digest = models.BinaryField(default=b"")
    class Meta:
        app_label = "shop"

with connection.schema_editor() as editor:
    editor.create_model(City)
    editor.create_model(Customer)
berlin = City.objects.create(name="Berlin")
Customer.objects.bulk_create(Customer(email=f"u{n}@example.com", city=berlin, picture="p.png") for n in range(5000))

from mailworker.bulk.rows import open_rows
def read(rows):
    with open_rows(rows) as source:
        return list(source)

values = read(Customer.objects.order_by("pk").values("email", "city__name"))
assert len(values) == 5000
assert values[1] == (2, {"email": "u1@example.com", "city__name": "Berlin"}), values[1]

with connection.execute_wrapper(lambda execute, *args: queries.append(args[0]) or execute(*args)):
    queries = []
    objects = read(Customer.objects.order_by("pk"))
    assert len(queries) == 1, queries
    assert objects[0] == (1, {"id": 1, "email": "u0@example.com", "joined": None, "city": 1, "picture": "p.png"}), objects[0]
    assert read(Customer.objects)[0] == objects[0]
    queries = []
    assert read(Customer.objects.order_by("pk").only("email"))[0] == (1, {"id": 1, "email": "u0@example.com"})
    assert len(queries) == 1, queries
(line, bad) = read(Customer.objects.values_list("email"))[0]
assert "is tuple" in bad.reason
print("ok")
"""


def test_a_queryset_is_read_in_pieces_as_dicts_or_by_its_objects_fields():
    done = subprocess.run([sys.executable, "-c", DJANGO], capture_output=True, text=True, env=clean_environment())
    assert done.stdout == "ok\n", done.stderr
