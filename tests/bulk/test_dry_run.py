from __future__ import annotations

import subprocess
import sys
from datetime import date

import pytest

from mailworker import settings
from mailworker.bulk.dry_run import dry_run
from mailworker.errors import RowsError
from tests.bulk.conftest import rows, wanted
from tests.bulk.peak import PEAK
from tests.processes import clean_environment


@pytest.fixture
def no_spool(templates):
    """Nothing that mail could go to."""
    with settings.override(
        MAILWORKER_BROKER_URL="redis://127.0.0.1:1/0",
        MAILWORKER_TEMPLATES=[templates],
        DEFAULT_FROM_EMAIL="news@example.com",
    ):
        yield


def test_it_counts_what_would_come_of_a_list_and_needs_no_spool(no_spool):
    listed = [
        *rows(5),
        {"email": "USER0@example0.com", "name": "again"},
        {"email": "nobody", "name": "N"},
        *rows(2, 100),
        *rows(1),
    ]
    found = dry_run(wanted(listed, suppress=["user1@example1.com", "user100@example1.com", "other@example.com"]))
    assert (found.read, found.good, found.duplicates, found.suppressed, found.bad) == (10, 5, 2, 2, 1)
    assert found.bad_rows[0].line == 7
    assert found.read == found.good + found.duplicates + found.suppressed + found.bad


def test_it_makes_the_messages_of_the_first_good_rows_as_a_worker_will(no_spool, templates):
    (templates / "news.txt").write_text("Dear {{ name }}, since {{ since }}.\n")
    listed = [{"email": "nobody"}, *({**row, "since": date(2026, 1, 2)} for row in rows(5))]
    found = dry_run(wanted(listed, suppress=["user0@example0.com"]))
    assert [message.to for message in found.samples] == [[f"user{n}@example{n % 3}.com"] for n in (1, 2, 3)]
    assert found.samples[0].body == "Dear User 1, since 2026-01-02.\n"
    shown = found.to_json()
    assert list(shown) == [
        *("name", "read", "good", "duplicates", "suppressed", "bad", "bad_rows", "samples", "seconds"),
    ]
    assert shown["samples"][0] == {
        "from": "news@example.com",
        "to": ["user1@example1.com"],
        "subject": "News for User 1",
        "text": "Dear User 1, since 2026-01-02.\n",
        "html": "<p>Dear User 1,</p><p>there is news.</p>",
    }
    assert shown["bad_rows"] == [{"line": 1, "reason": found.bad_rows[0].reason}]


def test_an_empty_list_is_no_mail(no_spool):
    found = dry_run(wanted([]))
    assert (found.read, found.good, found.duplicates, found.samples) == (0, 0, 0, ())


def test_it_ends_at_the_first_bad_row_where_that_is_asked_for(no_spool):
    with pytest.raises(RowsError, match="line 3: email"):
        dry_run(wanted([*rows(2), {"email": "nobody", "name": "N"}], strict=True))


def test_only_the_first_thousand_bad_rows_are_kept_and_all_are_told(no_spool):
    told: list[int] = []
    found = dry_run(wanted({"email": "nobody"} for _ in range(3000)), on_bad=lambda bad: told.append(bad.line))
    assert (found.bad, len(found.bad_rows), told) == (3000, 1000, list(range(1, 3001)))


def test_a_long_list_is_read_in_little_memory(templates):
    program = (
        PEAK + "import sys\n"
        "from mailworker import configure\n"
        "configure(MAILWORKER_TEMPLATES=[sys.argv[1]])\n"
        "from mailworker.bulk.dry_run import dry_run\n"
        "from mailworker.bulk.mailing import mailing\n"
        "rows = ({'email': f'user{n % 150_000}@example.com', 'name': f'User {n}'} for n in range(200_000))\n"
        "found = dry_run(mailing('news', 'news', rows))\n"
        "print(found.good, found.duplicates, peak())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(templates)], capture_output=True, text=True, env=clean_environment()
    )
    good, duplicates, megabytes = map(int, done.stdout.split())
    assert (good, duplicates) == (150_000, 50_000)
    assert megabytes < 150


def test_a_message_says_that_it_is_one_of_many_in_the_lane_bulk_alone(no_spool):
    def precedence(lane):
        (message,) = dry_run(wanted(rows(1), lane=lane)).samples
        return message.extra_headers.get("Precedence")

    assert [precedence(lane) for lane in ("bulk", "normal", "high")] == ["bulk", None, None]
