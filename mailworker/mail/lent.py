"""A message that came out of the queue with a large text: the text is decoded when somebody asks for it.

To a worker that renders a message itself, its characters are nothing, and they can take four times the memory of its octets. A
backend of somebody else's, and whoever reads or changes `body`, `alternatives` or `attachments`, gets them as they always are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from mailworker.mail.frozen import FrozenMessage
from mailworker.mail.large_text import LARGE, Utf8
from mailworker.mail.message import EmailMessage, EmailMultiAlternatives


def text_of(octets: bytes | bytearray | memoryview) -> str | Utf8:
    """Return a text, or a large one as it came.

    Raises:
        UnicodeDecodeError: it is no UTF-8.
    """
    return str(octets, "utf-8") if len(octets) <= LARGE else Utf8(bytes(octets))


class _Lent:
    """A field that is decoded when it is read."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, message: Any, owner: type | None = None) -> Any:
        if message is None:
            return self
        kept = _kept(message)
        if self._name not in kept:
            raise AttributeError(f"{type(message).__name__!r} object has no attribute {self._name!r}")
        kept[self._name] = _decoded(kept[self._name])
        return kept[self._name]

    def __set__(self, message: Any, value: Any) -> None:
        _kept(message)[self._name] = value


class LargeMessage(EmailMultiAlternatives):
    """A decoded message with a large text."""

    body: Any = _Lent()
    alternatives: Any = _Lent()
    attachments: Any = _Lent()

    def _attributes(self) -> dict[str, Any]:
        """Return what stands on the message, as on any other: for copies and pickles."""
        found = {name: value for name, value in super()._attributes().items() if name != _KEPT}
        return found | {name: getattr(self, name) for name in _kept(self)}


#: Where a `LargeMessage` has those fields.
_KEPT = "_kept_fields"


class Undecoded(NamedTuple):
    """The fields of a `LargeMessage` as they are kept: with `Utf8` in place of each large text that nobody has read."""

    body: Any
    attachments: Any
    alternatives: Any


def undecoded(message: LargeMessage) -> Undecoded:
    """Return a message's fields as they are kept."""
    return Undecoded(**_kept(message))


def settled(message: EmailMessage) -> EmailMessage:
    """Return the message, whose fields may hold `Utf8`, in a form that shows it to nobody."""
    fields = [message.body, message.attachments, getattr(message, "alternatives", [])]
    if not any(map(_holds_utf8, fields)):
        return message
    if isinstance(message, FrozenMessage):
        # Its fields are for those who take it apart: they are all that they are there for.
        message.body, message.attachments, message.alternatives = map(_decoded, fields)
        return message
    large = LargeMessage.__new__(LargeMessage)
    large.__setstate__({"alternatives": [], **vars(message)})
    return large


def _kept(message: Any) -> dict[str, Any]:
    kept: dict[str, Any] = vars(message).setdefault(_KEPT, {})
    return kept


def _holds_utf8(value: Any) -> bool:
    return type(value) is Utf8 or (type(value) is list and any(map(_entry_holds_utf8, value)))


def _entry_holds_utf8(entry: Any) -> bool:
    # Attachments and alternatives are tuples; a part of the email package is no affair of ours.
    return isinstance(entry, tuple) and any(type(each) is Utf8 for each in entry)


def _decoded(value: Any) -> Any:
    """Return a text for a `Utf8`; in a list, which stays the same one, for each content."""
    if type(value) is Utf8:
        return str(value)
    if type(value) is list:
        for place, entry in enumerate(value):
            if _entry_holds_utf8(entry):
                value[place] = entry._replace(content=str(entry.content))
    return value
