from __future__ import annotations

import csv
import io
import json

import pytest

from mailworker import bulk, settings
from mailworker.bulk.reporting import COLUMNS, write_csv, write_jsonl
from tests.bulk.conftest import ACCEPTED, KEY, REJECTED, rows

pytestmark = pytest.mark.integration


@pytest.fixture(params=[(), (KEY,)], ids=["plain", "sealed"])
def settled(place, request):
    """Six recipients: two refused, two accepted, one due, one suppressed; and one more whose column has a name in it."""
    with settings.override(MAILWORKER_ENCRYPTION_KEYS=request.param):
        listed = [*rows(6), {"email": "+Cy <Cy@Example.com>", "name": "Cy"}]
        bulk.send("news-1", "news", listed, suppress=["user5@example2.com"])
        place.settle(4, lambda n: REJECTED if n % 3 == 0 else ACCEPTED)
        yield place


def by_recipient(lines):
    return {line.recipient: line for line in lines}


def test_each_recipient_has_a_line_in_the_order_of_the_list(settled):
    lines = list(bulk.report("news-1"))
    assert [line.state for line in lines] == ["dead", "sent", "sent", "dead", "due", "dropped", "due"]
    assert [line.outcome for line in lines] == ["rejected", "accepted", "accepted", "rejected", "", "", ""]
    assert [line.recipient for line in lines[:2]] == ["user0@example0.com", "user1@example1.com"]
    assert lines[0].code == 550
    assert (lines[0].enhanced, lines[0].text, lines[0].reason) == ("5.1.1", "=No such user here", "rejected")
    assert lines[5].reason == "suppressed"
    # Who was not tried has an address as well, without the name beside it.
    assert [line.recipient for line in lines[4:]] == ["user4@example1.com", "user5@example2.com", "Cy@Example.com"]
    assert len({line.id for line in lines}) == 7


def test_those_who_had_nothing_are_told_alone(settled):
    assert [line.state for line in bulk.report("news-1", failed=True)] == ["dead", "dead", "dropped"]


def test_as_csv_it_is_read_as_it_was_and_runs_nothing_in_a_spreadsheet(settled):
    file = io.StringIO()
    assert write_csv(bulk.report("news-1"), file) == 7
    read = list(csv.DictReader(io.StringIO(file.getvalue())))
    assert tuple(read[0]) == COLUMNS
    assert [row["state"] for row in read] == ["dead", "sent", "sent", "dead", "due", "dropped", "due"]
    assert read[0]["text"] == "'=No such user here"
    assert (read[0]["code"], read[4]["code"]) == ("550", "")


def test_as_json_lines_each_line_is_an_object(settled):
    file = io.StringIO()
    assert write_jsonl(bulk.report("news-1"), file) == 7
    read = [json.loads(line) for line in file.getvalue().splitlines()]
    assert tuple(read[0]) == COLUMNS
    assert (read[0]["code"], read[4]["code"], read[0]["in_doubt"]) == (550, None, False)
    assert read[0]["text"] == "=No such user here"
