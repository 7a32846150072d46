from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mailworker import bulk
from mailworker.errors import BulkRefused, BulkUnknown
from mailworker.spool.bulk import BulkGate
from mailworker.spool.record import State
from tests.bulk.conftest import ACCEPTED, REJECTED, rows

pytestmark = pytest.mark.integration


@pytest.fixture
def sent(place):
    bulk.send("news-1", "news", rows(9))
    return place


def test_an_unknown_name_is_one_clear_error_for_all_that_can_be_done(place):
    for call in (bulk.show, bulk.pause, bulk.resume, bulk.cancel, bulk.retry_failed, bulk.report, bulk.retime):
        with pytest.raises(BulkUnknown) as error:
            call("nosuch")
        assert str(error.value) == "there is no bulk 'nosuch'; `mailworker bulk list` shows those that there are"
    assert place.spool.stats().groups == {}


def test_a_paused_bulk_gives_out_nothing_until_it_is_resumed(sent):
    stands = bulk.pause("news-1", "the price is wrong")
    assert (stands.gate, stands.reason) == (BulkGate.PAUSED, "the price is wrong")
    assert not sent.claimed(1)
    assert bulk.resume("news-1").gate is BulkGate.OPEN
    assert len(sent.claimed(9)) == 9


def test_what_has_not_gone_of_a_cancelled_bulk_is_taken_back_for_good(sent):
    sent.settle(4)
    assert bulk.cancel("news-1").states == {State.SENT: 4, State.CANCELLED: 5}
    for call in (bulk.pause, bulk.resume, bulk.retry_failed):
        with pytest.raises(BulkRefused, match="the bulk 'news-1' is cancelled"):
            call("news-1")
    assert not sent.claimed(1)


def test_a_bulk_whose_list_has_not_come_in_whole_is_not_opened_by_resuming_it(place):
    def broken():
        yield from rows(600)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        bulk.send("news-1", "news", broken())
    bulk.pause("news-1")
    with pytest.raises(BulkRefused, match="has not come in as a whole, and its gate opens after the last row"):
        bulk.resume("news-1")
    assert not place.claimed(1)


def test_rate_and_hours_are_changed_each_by_itself(sent):
    assert bulk.retime("news-1", rate="120/min").plan.timetable.rate == 2.0
    found = bulk.retime("news-1", between="08:00-20:00 Europe/Berlin").plan.timetable
    assert found.rate == 2.0
    assert len(found.windows) > 700
    assert bulk.retime("news-1", rate=None).plan.timetable.windows == found.windows
    assert bulk.retime("news-1", between=None).plan.timetable.windows == ()
    with pytest.raises(ValueError, match="rate is 'x'"):
        bulk.retime("news-1", rate="x")


def test_hours_that_are_closed_close_the_gate(sent):
    hour = (datetime.now(UTC).hour + 2) % 24
    opens = bulk.retime("news-1", between=f"{hour:02}:00-{hour:02}:30 UTC").opens_at
    assert opens is not None
    assert not sent.claimed(1)
    assert bulk.retime("news-1", between=None).opens_at is None
    assert sent.claimed(1)


def test_what_failed_is_tried_again_and_what_was_accepted_is_not(sent):
    sent.settle(9, lambda n: REJECTED if n % 3 == 1 else ACCEPTED)
    assert sent.bulk().states == {State.SENT: 6, State.DEAD: 3}
    assert bulk.retry_failed("news-1") == 3
    assert {one.mail.domain for one in sent.claimed(9)} == {"example1.com"}
    assert bulk.retry_failed("news-1") == 0


def test_all_bulks_are_listed_the_newest_first(sent):
    bulk.send("news-2", "news", rows(2))
    assert [one.plan.name for one in bulk.list()] == ["news-2", "news-1"]
