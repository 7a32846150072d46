from __future__ import annotations

import math

import pytest

from mailworker.cli.bulk.speed import Speed, closes_at, ends_at, goes_at, overall, settled, to_send
from mailworker.spool.bulk import Timetable
from mailworker.spool.record import State
from tests.cli.bulk.made_up import BULK, NOW, bulk


def seen(speed, at, sent):
    return speed.look(bulk(now=NOW + at, states={State.DUE: 900 - sent, State.SENT: sent}))


def test_what_was_suppressed_from_the_first_is_not_to_be_sent():
    assert (to_send(BULK), settled(BULK)) == (900, 500)
    assert settled(bulk(states={State.CANCELLED: 400, State.SENT: 500})) == 500


def test_the_speed_is_that_of_the_last_ten_seconds():
    speed = Speed()
    assert seen(speed, 0, 0) is None
    assert seen(speed, 1, 100) == 100
    assert seen(speed, 10, 100) == 10
    assert seen(speed, 11, 110) == 1
    for second in range(12, 30):
        seen(speed, second, 110 + 5 * (second - 11))
    assert seen(speed, 30, 205) == 5


def test_mails_that_are_tried_again_are_no_speed_below_nothing():
    speed = Speed()
    seen(speed, 0, 500)
    seen(speed, 1, 600)
    assert seen(speed, 2, 300) is None
    assert seen(speed, 3, 310) == 10


def test_the_speed_over_all_counts_from_the_first_mail_to_the_last():
    assert overall(BULK) == 5.0
    assert overall(bulk(ended_at=NOW - 50)) == 10.0
    assert overall(bulk(began_at=None)) is None
    assert overall(bulk(began_at=NOW)) is None


def test_the_end_is_as_far_off_as_what_is_left_takes():
    assert ends_at(bulk(), 10.0) == NOW + 40
    # Its own rate bounds it, whatever was reached for a moment.
    assert ends_at(bulk(), 4000.0) == NOW + 2
    assert ends_at(bulk(), None) == NOW + 2
    assert ends_at(bulk(plan={"timetable": Timetable()}), None) is None
    assert ends_at(bulk(plan={"due_at": NOW + 100}), 10.0) == NOW + 140
    assert ends_at(bulk(states={State.SENT: 900}), 10.0) is None
    assert ends_at(bulk(), 0.0) is None


@pytest.mark.parametrize(
    ("windows", "end"),
    [
        (((NOW - 10, NOW + 100),), NOW + 40),
        (((NOW - 10, NOW + 10), (NOW + 50, NOW + 60), (NOW + 90, NOW + 200)), NOW + 110),
        (((NOW - 20, NOW - 10), (NOW + 50, NOW + 100)), NOW + 90),
        (((NOW - 10, NOW + 10),), None),
    ],
)
def test_hours_that_are_closed_put_the_end_off(windows, end):
    assert ends_at(bulk(plan={"timetable": Timetable(windows=windows)}), 10.0) == end


def test_it_goes_at_its_time_and_in_its_hours():
    windows = ((NOW - 10, NOW + 10), (NOW + 50, NOW + 60))
    assert goes_at(bulk()) == NOW
    assert goes_at(bulk(plan={"due_at": NOW + 5})) == NOW + 5
    assert goes_at(bulk(plan={"due_at": NOW + 20, "timetable": Timetable(windows=windows)})) == NOW + 50
    assert goes_at(bulk(plan={"due_at": NOW + 70, "timetable": Timetable(windows=windows)})) == math.inf
    assert closes_at(bulk(plan={"timetable": Timetable(windows=windows)})) == NOW + 10
    assert closes_at(bulk()) is None
