"""What ordinary mail in the lane `bulk` says besides: that it is one of many, and how its recipient gets no more."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from mailworker import EmailMessage, settings
from mailworker.mail.codec import Codec
from mailworker.mail.options import QueueOptions
from mailworker.mail.unsubscribe import verify
from mailworker.queue.compose import Composer
from mailworker.settings import current

OWN = ("Date", "Message-ID")


@pytest.fixture
def links() -> Iterator[None]:
    with settings.override(
        MAILWORKER_UNSUBSCRIBE_URL="https://example.com/u/{token}", MAILWORKER_UNSUBSCRIBE_KEYS=["0123456789abcdef"]
    ):
        yield


def headers(message: EmailMessage, **options: Any) -> Mapping[str, Any]:
    """Return a message's headers as a worker reads them."""
    composed = composer(**options).compose(message)
    assert composed is not None
    found = Codec().decode(composed.mail.payload).extra_headers
    return {name: value for name, value in found.items() if name not in OWN}


def composer(**options: Any) -> Composer:
    return Composer(current(), QueueOptions(**options), "relay", fail_silently=False, login=None, clock=time.time)


def message(*to: str, **own: Any) -> EmailMessage:
    return EmailMessage("s", "b", "from@example.com", list(to or ("Ann <ann@example.com>",)), **own)


@pytest.mark.usefixtures("links")
def test_mail_in_the_lane_bulk_says_how_its_recipient_gets_no_more() -> None:
    sent = message()
    found = headers(sent, lane="bulk", group="march")
    assert sent.extra_headers == {}, "the caller's message keeps its own"
    assert set(found) == {"Precedence", "List-Unsubscribe", "List-Unsubscribe-Post"}
    assert (found["Precedence"], found["List-Unsubscribe-Post"]) == ("bulk", "List-Unsubscribe=One-Click")
    link = found["List-Unsubscribe"]
    assert (link[0], link[-1]) == ("<", ">")
    assert verify(link[1:-1].removeprefix("https://example.com/u/")) == ("ann@example.com", "march")
    assert verify(headers(message(), lane="bulk")["List-Unsubscribe"][1:-1].rpartition("/")[2]).bulk == ""


@pytest.mark.usefixtures("links")
def test_what_the_message_says_itself_stays() -> None:
    own = {"precedence": "list", "LIST-UNSUBSCRIBE": "<mailto:no@example.com>"}
    assert headers(message(headers=own), lane="bulk") == own
    own = {"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    assert headers(message(headers=own), lane="bulk") == {**own, "Precedence": "bulk"}


@pytest.mark.usefixtures("links")
def test_a_link_is_one_recipients() -> None:
    for several in (message("a@example.com", "b@example.com"), message("a@example.com", bcc=["b@example.com"])):
        assert headers(several, lane="bulk") == {"Precedence": "bulk"}
    assert "List-Unsubscribe" in headers(message("a@example.com", cc=["a@EXAMPLE.com"]), lane="bulk")


@pytest.mark.usefixtures("links")
def test_other_lanes_have_no_such_manners() -> None:
    assert headers(message()) == headers(message(), lane="high") == {}


def test_without_a_url_it_only_says_that_it_is_one_of_many() -> None:
    assert headers(message(), lane="bulk") == {"Precedence": "bulk"}


@pytest.mark.usefixtures("links")
def test_a_second_try_is_the_same_mail() -> None:
    sent = message()
    lost = composer(lane="bulk").compose(sent)
    assert lost is not None
    lost.lost_from_sight()
    with settings.override(MAILWORKER_UNSUBSCRIBE_KEYS=["another key 0123"]):
        again = composer(lane="bulk").compose(sent)
    assert again is not None
    assert (again.mail.id, again.fixed) == (lost.mail.id, lost.fixed)
