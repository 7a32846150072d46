"""Does a row become a mail? Asked for each row of a list before any of it is queued, so for nearly all of them at sight.

What passes can be rendered and sent by the worker, and what would render is not refused, but for one thing: a line break in a
value that a header uses is refused whatever the template makes of it, for it is an injection or a broken list. Where the templates
are understood (`mailworker.mail.letter.reading`) and the row is of texts and numbers, looking at these is enough
(`mailworker.mail.letter.sight`). All other rows are rendered, which takes ten times as long, and the first one and whatever is
unusual is made a message. What is wrong is a `BadRow` that names the column and never the value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from mailworker.errors import (
    BadHeaderError,
    BadRow,
    ConfigurationError,
    InvalidAddress,
    MessageTooLarge,
    TemplateError,
)
from mailworker.mail.address import envelope_address
from mailworker.mail.check import check_message
from mailworker.mail.codec import Codec
from mailworker.mail.letter.filled import recipient_of
from mailworker.mail.letter.row import as_read
from mailworker.mail.letter.sight import Sight
from mailworker.mail.render import render

if TYPE_CHECKING:
    from mailworker.mail.letter.letter import Letter

#: Where `str.splitlines` begins a new line, and NUL.
_BREAK = re.compile("[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029\0]")

#: For the rows that are rendered.
_MAIL_ID = "0" * 32
_DATE = datetime(2000, 1, 1, tzinfo=UTC)


class Checked(NamedTuple):
    """Who a row's mail goes to.

    Attributes:
        address: bare, as the envelope has it.
        recipient: the same in lower case: one recipient gets one mail.
        domain: lower-case.
    """

    address: str
    recipient: str
    domain: str


class RowCheck:
    """Checks rows against a letter. Safe to share between threads.

    Args:
        letter: it.
        max_size: bytes that a message may have, as MAILWORKER_MAX_MESSAGE_SIZE counts them; None = no limit.

    Raises:
        ConfigurationError: a library or a key is missing that the letter needs.
        TemplateError: a template cannot be compiled.
    """

    def __init__(self, letter: Letter, max_size: int | None) -> None:
        self._letter = letter
        self._max_size = max_size
        self._codec = Codec((), max_size)
        self._sight = Sight.of(letter, max_size)
        #: A row has been rendered: what the templates bring along themselves is no reason to refuse any.
        self._is_tried = False

    @property
    def needed(self) -> tuple[str, ...]:
        """Return the columns without which no row becomes a mail."""
        return self._sight.needed

    def check(self, values: Mapping[str, Any]) -> Checked:
        """Return who a row's mail goes to.

        Args:
            values: by column; None counts as missing. Columns that the letter does not look at may hold anything.

        Raises:
            BadRow: it can become no mail.
            ConfigurationError: a library or a key is missing that the letter needs.
        """
        if type(values) is not dict:
            if not isinstance(values, Mapping):
                raise BadRow(f"the row is {type(values).__name__}; expected a mapping of columns to values")
            values = dict(values)
        found = self._sight.address(values) if self._is_tried else None
        if found is None:
            return self._rendered(values)
        local, domain = found
        address = f"{local}@{domain}"
        return Checked(address, address.lower(), domain.lower())

    def _rendered(self, values: Mapping[str, Any]) -> Checked:
        """Check a row by rendering its templates, and making a message of that where that tells more."""
        letter, sight = self._letter, self._sight
        row = as_read(letter, values)
        for name in sight.needed:
            if name not in row:
                raise BadRow(f"{name}: the row has no value for it, and {letter.template!r} needs one")
        to = recipient_of(letter, row)
        for name in sight.shown:
            if any(_BREAK.search(text) for text in _texts(row.get(name))):
                raise BadRow(
                    f"{name}: a line break or another control character stands in it, and it goes into a header"
                )
        try:
            address = envelope_address(to)
        except InvalidAddress:
            address = ""
        _, found, domain = address.rpartition("@")
        if not found:
            raise BadRow(
                f"{letter.to}: it is no address; expected one such as ann@example.com or Ann <ann@example.com>"
            )
        self._make(row)
        self._is_tried = True
        return Checked(address, address.lower(), domain.lower())

    def _make(self, row: Mapping[str, Any]) -> None:
        fill = self._letter.fill
        try:
            if self._is_tried and self._sight.suits(fill, fill.filled(row, "")):
                return
            message = fill.message(row, mail_id=_MAIL_ID, bulk="", date=_DATE)
            check_message(message)
            render(message)
            self._codec.encode_parts(message)
        except (BadRow, ConfigurationError):
            raise
        except MessageTooLarge:
            raise BadRow(
                f"the message is over {self._max_size} bytes, which are the most (MAILWORKER_MAX_MESSAGE_SIZE)"
            ) from None
        except InvalidAddress:
            raise BadRow("the sender, Reply-To or another header that the row fills in is no address") from None
        except (TemplateError, BadHeaderError) as error:
            raise BadRow(_without(str(error), row)) from None
        except Exception as error:  # noqa: BLE001 - whatever a filter of the project's own raises; its text may show a value
            raise BadRow(
                f"{self._letter.template!r} cannot be rendered with the row ({type(error).__name__})"
            ) from None


def _texts(value: Any) -> Iterator[str]:
    """Yield all texts of a value, however deep."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += (*one.keys(), *one.values())


def _without(reason: str, row: Mapping[str, Any]) -> str:
    """Return a sentence without the row's values: an engine tells which attribute of what is missing."""
    for text in _texts(list(row.values())):
        if len(text) > 2:
            reason = reason.replace(text, "…").replace(repr(text)[1:-1], "…")
    return reason
