"""Queue options: when a mail goes, how long it is worth sending, in which lane, under which names.

Plain values with their checks, one clear sentence for each mistake. They know no clock: whoever queues a mail asks for
its times with the spool's `now`. `using=` is no queue option; it chooses the mailer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Literal, TypedDict

from mailworker.lane import LANES, Lane

#: Characters of `key=` and `group=`: they become part of names in the spool.
MAX_NAME = 200

_ON_IN_DOUBT = ("resend", "hold")

#: Seconds: who waits longer has mistaken the unit, and no calendar shows when it is over.
_LONGEST = 100 * 365.25 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueOptions:
    """What one send asks of the queue; None = not asked.

    Attributes:
        at: not before this moment. A datetime with a time zone: a naive one would mean another moment on each host.
        delay: not before this long from now; a timedelta or seconds.
        expires: not after this moment (a datetime with a time zone), or this long from now (a timedelta or seconds).
        lane: "high", "normal" or "bulk".
        key: idempotency key: a second mail with the same key is the same mail.
        group: name of the set of mails that it belongs to.
        on_in_doubt: "resend" or "hold" when a second copy might be made.

    Raises:
        TypeError: a value is of the wrong type, or `at` and `delay` are both given.
        ValueError: a value is of the right type and cannot be meant.
    """

    at: datetime | None = None
    delay: timedelta | float | None = None
    expires: datetime | timedelta | float | None = None
    lane: Lane | str | None = None
    key: str | None = None
    group: str | None = None
    on_in_doubt: Literal["resend", "hold"] | str | None = None  # noqa: PYI051 - the two are what readers should see

    def __post_init__(self) -> None:
        if self.at is not None:
            _check_moment("at", self.at)
            if self.delay is not None:
                raise TypeError("at= and delay= are both given: expected one of them")
        if self.delay is not None and _seconds("delay", self.delay) < 0:
            raise ValueError(f"delay is {self.delay!r}: expected zero or more seconds")
        self._check_expires()
        if self.lane is not None:
            object.__setattr__(self, "lane", _lane(self.lane))
        for name in ("key", "group"):
            _check_name(name, getattr(self, name))
        if self.on_in_doubt is not None and self.on_in_doubt not in _ON_IN_DOUBT:
            raise ValueError(f"on_in_doubt is {self.on_in_doubt!r}: expected 'resend' or 'hold'")

    def _check_expires(self) -> None:
        if self.expires is None:
            return
        if isinstance(self.expires, datetime):
            _check_moment("expires", self.expires)
            if self.at is not None and self.expires <= self.at:
                raise ValueError(f"expires ({self.expires}) is not after at ({self.at}): the mail would never be sent")
            return
        after = _seconds("expires", self.expires)
        if after <= 0:
            raise ValueError(f"expires is {self.expires!r}: expected more than zero seconds from now, or a datetime")
        if self.delay is not None and after <= _seconds("delay", self.delay):
            raise ValueError(
                f"expires ({self.expires}) is not after delay ({self.delay}): the mail would never be sent"
            )

    def given(self) -> tuple[str, ...]:
        """Return the names of the options that were asked for."""
        if self is _NOTHING:
            return ()
        return tuple(name for name in _NAMES if getattr(self, name) is not None)

    def due_at(self, now: float) -> float:
        """Return when the mail may go.

        Args:
            now: seconds since the epoch.

        Returns:
            Seconds since the epoch, not before `now`.
        """
        if self.at is not None:
            return max(now, self.at.timestamp())
        return now + (_seconds("delay", self.delay) if self.delay is not None else 0.0)

    def expires_at(self, now: float) -> float | None:
        """Return after when the mail must not go any more; None = never.

        Args:
            now: seconds since the epoch.

        Raises:
            ValueError: that is not after `due_at(now)`: the mail would never be sent.
        """
        if self.expires is None:
            return None
        moment = (
            self.expires.timestamp() if isinstance(self.expires, datetime) else now + _seconds("expires", self.expires)
        )
        if moment <= self.due_at(now):
            raise ValueError(
                f"expires ({self.expires}) is not after the time when the mail is due: it would never be sent"
            )
        return moment


def asked_options(what: str, asked: Mapping[str, Any]) -> QueueOptions:
    """Return the options that were given to a call.

    Args:
        what: the call, for the error's text.
        asked: what stood behind its own arguments.

    Raises:
        TypeError: one of them is no option, or of the wrong type.
        ValueError: one cannot be meant.
    """
    if not asked:
        return _NOTHING
    unknown = sorted(asked.keys() - set(_NAMES))
    if unknown:
        raise TypeError(f"{what} got {', '.join(unknown)}, which is no option: expected some of {', '.join(_NAMES)}")
    return QueueOptions(**asked)


_NAMES = tuple(field.name for field in fields(QueueOptions))


class AskedOptions(TypedDict, total=False):
    """The arguments of `QueueOptions`, for the signatures that take them one by one (PEP 692)."""

    at: datetime | None
    delay: timedelta | float | None
    expires: datetime | timedelta | float | None
    lane: Lane | str | None
    key: str | None
    group: str | None
    on_in_doubt: Literal["resend", "hold"] | None


def _check_moment(name: str, value: Any) -> None:
    if not isinstance(value, datetime):
        raise TypeError(f"{name} is {value!r}: expected a datetime with a time zone")
    if value.tzinfo is None or value.utcoffset() is None:
        raise ValueError(
            f"{name} is {value!r}, without a time zone: expected one, as datetime.now(timezone.utc) has it"
        )


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is {value!r}: expected a timedelta or seconds")
    if not math.isfinite(value) or abs(value) > _LONGEST:
        raise ValueError(f"{name} is {value!r}: expected a number of seconds, at most {_LONGEST:.0f} (100 years)")
    return float(value)


def _lane(value: Any) -> Lane:
    if not isinstance(value, str):
        raise TypeError(f"lane is {value!r}: expected one of {', '.join(LANES)}")
    try:
        return Lane(value)
    except ValueError:
        raise ValueError(f"lane is {value!r}: expected one of {', '.join(LANES)}") from None


def _check_name(name: str, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}: expected text")
    if not value or len(value) > MAX_NAME or not value.isprintable():
        raise ValueError(f"{name} has {len(value)} characters: expected 1 to {MAX_NAME}, all printable")


#: What most calls ask for. One for all: to make it costs as much as to check the message.
_NOTHING = QueueOptions()
