from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailworker.lane import Lane
from mailworker.mail import QueueOptions

NOW = 1_800_000_000.0
later = datetime.fromtimestamp(NOW + 3600, UTC)


def test_nothing_asked_means_now_and_for_ever():
    options = QueueOptions()
    assert options.given() == ()
    assert options.due_at(NOW) == NOW
    assert options.expires_at(NOW) is None


def test_given_names_what_was_asked_for():
    options = QueueOptions(delay=0, lane="bulk", key="k", group="g", on_in_doubt="hold", expires=1)
    assert options.given() == ("delay", "expires", "lane", "key", "group", "on_in_doubt")
    assert options.lane is Lane.BULK
    assert QueueOptions(lane=Lane.HIGH).lane is Lane.HIGH


@pytest.mark.parametrize(
    ("asked", "due"),
    [
        ({"at": later}, NOW + 3600),
        ({"at": later.astimezone(timezone(timedelta(hours=9)))}, NOW + 3600),
        ({"at": datetime.fromtimestamp(NOW - 60, UTC)}, NOW),
        ({"delay": 90}, NOW + 90),
        ({"delay": 0.5}, NOW + 0.5),
        ({"delay": timedelta(minutes=2)}, NOW + 120),
        ({"delay": 0}, NOW),
    ],
)
def test_a_mail_is_due_at_a_moment_or_after_a_while(asked, due):
    assert QueueOptions(**asked).due_at(NOW) == due


@pytest.mark.parametrize("expires", [later, timedelta(hours=1), 3600, 3600.0])
def test_a_mail_expires_at_a_moment_or_after_a_while(expires):
    assert QueueOptions(expires=expires).expires_at(NOW) == NOW + 3600


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"at": later, "delay": 1}, TypeError, "at= and delay= are both given"),
        ({"at": datetime(2030, 1, 1)}, ValueError, "without a time zone"),  # noqa: DTZ001 - that is the point
        ({"at": 1.0}, TypeError, "at is 1.0: expected a datetime"),
        ({"at": "tomorrow"}, TypeError, "expected a datetime"),
        ({"delay": -1}, ValueError, "zero or more"),
        ({"delay": timedelta(seconds=-1)}, ValueError, "zero or more"),
        ({"delay": "5"}, TypeError, "timedelta or seconds"),
        ({"delay": True}, TypeError, "timedelta or seconds"),
        ({"delay": later}, TypeError, "timedelta or seconds"),
        ({"delay": float("inf")}, ValueError, "100 years"),
        ({"delay": 1e30}, ValueError, "100 years"),
        ({"expires": timedelta(days=40_000)}, ValueError, "100 years"),
        ({"delay": float("nan")}, ValueError, "100 years"),
        ({"expires": 0}, ValueError, "more than zero"),
        ({"expires": timedelta()}, ValueError, "more than zero"),
        ({"expires": "x"}, TypeError, "timedelta or seconds"),
        ({"expires": datetime(2030, 1, 1)}, ValueError, "without a time zone"),  # noqa: DTZ001 - that is the point
        ({"at": later, "expires": later}, ValueError, "not after at"),
        ({"delay": 60, "expires": 60}, ValueError, "not after delay"),
        ({"lane": "fast"}, ValueError, "expected one of high, normal, bulk"),
        ({"lane": 1}, TypeError, "expected one of high, normal, bulk"),
        ({"key": ""}, ValueError, "1 to 200"),
        ({"key": "x" * 201}, ValueError, "1 to 200"),
        ({"group": "a\nb"}, ValueError, "printable"),
        ({"group": 5}, TypeError, "expected text"),
        ({"on_in_doubt": "drop"}, ValueError, "'resend' or 'hold'"),
        ({"on_in_doubt": True}, ValueError, "'resend' or 'hold'"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(asked: dict[str, Any], error, says):
    with pytest.raises(error, match=says) as caught:
        QueueOptions(**asked)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "asked",
    [
        {"at": later, "expires": 3600},
        {"at": later, "expires": timedelta(minutes=1)},
        {"delay": 7200, "expires": later},
        {"expires": datetime.fromtimestamp(NOW - 1, UTC)},
    ],
)
def test_a_mail_that_would_expire_before_it_is_due_is_refused(asked: dict[str, Any]):
    with pytest.raises(ValueError, match="would never be sent"):
        QueueOptions(**asked).expires_at(NOW)


@given(delay=st.floats(0, 1e6), more=st.floats(0.001, 1e6))
def test_a_mail_never_expires_before_it_is_due(delay, more):
    options = QueueOptions(delay=delay, expires=delay + more)
    expires = options.expires_at(NOW)
    assert expires is not None
    assert expires > options.due_at(NOW) >= NOW


def test_options_are_keyword_only_and_frozen():
    with pytest.raises(TypeError):
        QueueOptions(later)  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        QueueOptions().lane = "high"  # type: ignore[misc]
