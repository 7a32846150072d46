"""What users and libraries hang on a message comes along, from the message and from its class; code stays at home."""

from __future__ import annotations

import datetime as dt
import logging
import re
import zoneinfo
from typing import Any

import pytest

from mailworker import mail
from mailworker.errors import UnserializableMessage
from mailworker.mail.codec import Codec
from mailworker.mail.frozen import FrozenMessage
from mailworker.mail.render import render

# anymail's classes, as far as the codec sees them: it is not installed here.
UNSET = type("UNSET", (), {})


class Anymail(mail.EmailMultiAlternatives):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.esp_extra = UNSET
        self.tags: Any = UNSET
        self.metadata: Any = UNSET
        self.anymail_status = object()
        super().__init__(*args, **kwargs)


def test_anymails_attributes_are_carried_and_its_marks_for_nothing_left_out():
    made = Anymail("s", "b", "a@b.example", ["c@d.example"])
    made.tags = ["welcome"]
    made.merge_data = {"c@d.example": {"NAME": "Ann"}}  # type: ignore[attr-defined]
    decoded: Any = Codec().decode(Codec().encode(made))
    assert (decoded.tags, decoded.merge_data) == (["welcome"], {"c@d.example": {"NAME": "Ann"}})
    assert not hasattr(decoded, "metadata")
    assert not hasattr(decoded, "anymail_status")


def test_what_a_subclass_says_for_all_its_messages_is_carried():
    class Base(mail.EmailMessage):
        tags: Any = ["base"]  # noqa: RUF012 - as users write it
        track_opens = False
        track_clicks = "none"

    class Welcome(Base):
        template_id = "welcome-1"
        track_clicks = "html"
        content_subtype = "html"
        log = logging.getLogger("x")
        pattern = re.compile("x")
        _cache = object()

        class Meta:
            ordering: Any = ()

        @property
        def metadata(self):
            return {"for": self.subject}

        @property
        def shown(self):
            raise AssertionError("code of the class is not run")

    decoded: Any = Codec().decode(Codec().encode(Welcome("s", "b", "a@b.example", ["c@d.example"])))
    assert (decoded.tags, decoded.track_opens, decoded.template_id) == (["base"], False, "welcome-1")
    assert decoded.track_clicks == "html"
    assert decoded.content_subtype == "html"
    assert decoded.metadata == {"for": "s"}
    assert not hasattr(decoded, "log")


def test_a_slot_of_a_subclass_is_carried():
    class Slotted(mail.EmailMessage):
        __slots__ = ("campaign", "unset")

    made = Slotted("s", "b", "a@b.example", ["c@d.example"])
    made.campaign = "spring"  # type: ignore[attr-defined]
    decoded: Any = Codec().decode(Codec().encode(made))
    assert decoded.campaign == "spring"
    assert not hasattr(decoded, "unset")


def test_a_class_attribute_that_cannot_be_carried_is_refused():
    class Dated(mail.EmailMessage):
        send_after = dt.timedelta(1)

    with pytest.raises(UnserializableMessage, match="attribute 'send_after' is of type timedelta"):
        Codec().encode(Dated("s", "b", "a@b.example", ["c@d.example"]))


def test_what_a_frozen_message_was_rendered_from_stays_behind_and_says_so():
    class Templated(mail.EmailMessage):
        def __init__(self, user: object) -> None:
            super().__init__("s", "", "a@b.example", ["c@d.example"])
            self.context = {"user": user}

        def message(self):
            self.body = f"Hello {self.context['user']!s:.6}"
            return super().message()

    decoded = Codec().decode(Codec().encode(Templated(object())))
    assert isinstance(decoded, FrozenMessage)
    assert b"Hello <objec" in render(decoded)
    assert decoded.body == "Hello <objec"
    assert decoded.left_behind == {"context": "dict"}
    with pytest.raises(AttributeError, match="'context' of type dict stayed behind"):
        decoded.context  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        decoded.other  # noqa: B018
    again: Any = Codec().decode(Codec().encode(decoded))
    assert again.left_behind == {"context": "dict"}


def test_what_a_backend_reads_off_a_frozen_message_is_never_left_behind():
    class Tagged(mail.EmailMessage):
        def message(self):
            return super().message()

    made: Any = Tagged("s", "b", "a@b.example", ["c@d.example"])
    made.send_at = dt.timedelta(1)
    with pytest.raises(UnserializableMessage, match="'send_at' is of type timedelta"):
        Codec().encode(made)


@pytest.mark.parametrize(
    "when",
    [
        dt.datetime(2026, 1, 1, 9, 30, 0, 125),  # noqa: DTZ001 - anymail reads it in the worker's zone
        dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        dt.datetime(2026, 7, 1, 9, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        dt.date(2026, 1, 1),
    ],
)
def test_a_moment_is_carried_as_one(when):
    made: Any = mail.EmailMessage("s", "b", "a@b.example", ["c@d.example"])
    made.send_at = when
    made.metadata = {"when": [when, "2026-01-01"]}
    decoded: Any = Codec().decode(Codec().encode(made))
    assert decoded.send_at == when
    assert type(decoded.send_at) is type(when)
    assert decoded.metadata == {"when": [when, "2026-01-01"]}


def test_a_moment_that_is_none_is_no_mail():
    from mailworker.errors import CodecError
    from mailworker.mail.value import undata

    for tree in ("yesterday", "2026-13-01", "T"):
        with pytest.raises((CodecError, ValueError)):
            undata({"\x00": tree})
