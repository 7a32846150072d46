"""Whether a row becomes a mail, told at sight: from what stands in it, without rendering.

Or once its templates are rendered, without making a message of that. Only "yes" is told here. Whatever is not plain - a value that is missing or no text, a control character, an unusual address, a
template that is not understood - is looked into by `mailworker.mail.letter.check`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from mailworker import settings
from mailworker.mail.address import at_sight
from mailworker.mail.fold import is_safe
from mailworker.mail.header import ADDRESS_HEADERS
from mailworker.mail.letter.filled import SENDER, UNSUBSCRIBE_URL, Fill, Filled, Line, header_name, reply_name
from mailworker.mail.letter.reading import Reading, together
from mailworker.mail.template.image import references

if TYPE_CHECKING:
    from mailworker.mail.letter.letter import Letter

#: Values that no library which reads HTML or style sheets could stumble over.
_TAME = re.compile(r"[\w .,@'+-]*")
#: An attribute that shows an image, whose value a row decides on from its beginning or within "cid:".
_OPEN_REFERENCE = re.compile(r"""(?:src|background)\s*=\s*["'](?:c(?:i(?:d:?)?)?)?\0""", re.IGNORECASE)
#: What a row would have to put there.
_REFERENCE = re.compile(r"\s*(?:c?i?d)?:", re.IGNORECASE)

#: Bytes around what the templates come to: names of headers and of the message's parts, and their quotes and commas in JSON.
_AROUND = 4096
#: How much larger text may be than the HTML that it is made from.
_TEXT_OF_HTML = 5
#: Bytes that one of a body comes to in JSON.
_JSON = 6
#: Characters of a token.
_LINK = 4096
#: Charsets that have all characters.
_TAKES_ALL = frozenset({"utf-8", "utf8"})
_NUMBERS = frozenset({int, float})
#: Numbers from here on are left to JSON, which takes no infinite ones.
_LARGE = 10**15


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a letter asks of a row.

    Attributes:
        is_certain: a row can be told at sight; else `address` never does.
        needed: columns without which no row renders.
        shown: columns whose values stand in a header.
        pick: given a row, returns the recipient and whatever else is there for certain.
        optional: columns that may be missing.
        addresses: fields that have to come to an address.
        is_tame: the text must be tame.
        is_open: a value may become the name of an image.
        is_unicode: messages can have any character.
        max_size: bytes that a message may have, None = no limit.
        around: of them, those that do not come from templates.
        room: bytes that are left for what comes from the row, None = no limit.
        growth: bytes that each of its characters becomes at the most.
    """

    is_certain: bool
    needed: tuple[str, ...]
    shown: tuple[str, ...]
    pick: Callable[[dict[str, Any]], tuple[Any, ...]]
    optional: tuple[str, ...]
    addresses: tuple[Line, ...]
    is_tame: bool
    is_open: bool
    is_unicode: bool
    max_size: int | None
    around: int
    room: int | None
    growth: int

    @classmethod
    def of(cls, letter: Letter, max_size: int | None) -> Sight:
        """Return what a letter asks.

        Args:
            letter: it.
            max_size: bytes that a message may have, None = no limit.
        """
        fill = letter.fill
        lines = _lines(fill)
        varying = [name for name, line in lines.items() if line.constant is None]
        shown = together(fill.bound.reading(name) for name in (letter.subject, *varying))
        text = Reading() if letter.text is None else fill.bound.reading(letter.text)
        html = Reading() if letter.html is None else fill.bound.reading(letter.html)
        reading = shown + text + html
        is_read = letter.text is None or letter.inlines_css
        outlines = [] if letter.html is None else [fill.bound.outline(name) for name in letter.sources]
        size, growth = _bounds(letter, shown + text, html)
        around = _AROUND + sum(len(content) * 2 for content in letter.images.values())
        around += sum(len(line.constant or "") * _JSON for line in lines.values())
        is_unicode = settings.current().DEFAULT_CHARSET.lower() in _TAKES_ALL
        ours = {UNSUBSCRIBE_URL} if letter.unsubscribe_url else set()
        demanded = sorted(reading.demanded - ours - {letter.to})
        return cls(
            is_certain=reading.is_certain
            and is_unicode
            and all(map(_names_its_images, outlines))
            # What an address is made of is looked at here, and a recipient's link is not.
            and not (ours and _addresses(fill) and UNSUBSCRIBE_URL in shown.names),
            needed=tuple(sorted((reading.needed | {letter.to}) - ours)),
            shown=tuple(sorted((shown.names | {letter.to}) - ours)),
            # Always of several, for that makes a tuple.
            pick=itemgetter(letter.to, *demanded, letter.to),
            optional=tuple(sorted(reading.names - ours - {letter.to, *demanded})),
            addresses=tuple(_addresses(fill)),
            is_tame=is_read and letter.html is not None,
            is_open=any(map(_OPEN_REFERENCE.search, outlines)),
            is_unicode=is_unicode,
            max_size=max_size,
            around=around,
            room=None if max_size is None else max_size - around - size,
            growth=growth,
        )

    def address(self, row: dict[str, Any]) -> tuple[str, str] | None:
        """Return local part and domain of the recipient if a row becomes a mail for certain; None if that is not plain."""
        found = self._texts(row)
        if found is None:
            return None
        joined = " ".join(found)
        # One look at all of it; a line break in a body, or a space that does not break, asks for another one.
        is_plain = joined.isprintable() or self._is_safe(row, joined)
        if not is_plain or (self.room is not None and len(joined) * self.growth > self.room):
            return None
        if (self.is_tame and not _TAME.fullmatch(joined)) or (self.is_open and any(map(_REFERENCE.match, found))):
            return None
        if self.addresses:
            variables = {name: value for name, value in row.items() if value is not None}
            if any(at_sight(line.text(variables)) is None for line in self.addresses):
                return None
        return at_sight(found[0])

    def suits(self, fill: Fill, made: Filled) -> bool:
        """Tell whether what a row came to is a message for certain.

        Args:
            fill: has made it.
            made: by a row whose recipient is an address.
        """
        varying = [(fill.sender, made.sender), *zip(fill.reply_to, made.reply_to, strict=True)]
        for name, line in fill.headers.items():
            if name.lower() in ADDRESS_HEADERS:
                varying.append((line, made.headers[name]))
            elif not is_safe(made.headers[name]):
                return False
        addresses = [made.to, *(text for line, text in varying if line.constant is None)]
        if not (self.is_unicode and is_safe(made.content.subject) and all(map(at_sight, addresses))):
            return False
        try:
            texts = [*made.headers.values(), *addresses, made.content.subject, made.content.text, made.content.html]
            size = sum(len(text.encode()) for text in texts) + 2 * len(made.link or "")
        except UnicodeEncodeError:
            return False
        return self.max_size is None or self.around + size * _JSON <= self.max_size

    def _texts(self, row: dict[str, Any]) -> tuple[str, ...] | None:
        """Return what stands in the columns that matter, the recipient first; None if it is not certain to become a mail."""
        if not self.is_certain:
            return None
        try:
            found = self.pick(row)
        except KeyError:
            return None
        if self.optional:
            found += tuple([row[name] for name in self.optional if row.get(name) is not None])
        for value in found:
            if type(value) is not str:
                return _as_texts(found)
        return found

    def _is_safe(self, row: dict[str, Any], joined: str) -> bool:
        """Tell whether a text that holds unusual characters has them where they may be, and can be written at all."""
        if not all(is_safe(str(row.get(name, ""))) for name in self.shown):
            return False
        try:
            joined.encode()
        except UnicodeEncodeError:
            return False
        return True


def _lines(fill: Fill) -> dict[str, Line]:
    """Return the fields of a letter, by their templates' names."""
    lines = {SENDER: fill.sender}
    lines |= {reply_name(place): line for place, line in enumerate(fill.reply_to)}
    return lines | {header_name(name): line for name, line in fill.headers.items()}


def _addresses(fill: Fill) -> list[Line]:
    """Return the fields whose values are addresses that depend on the row."""
    lines = [fill.sender, *fill.reply_to]
    lines += [line for name, line in fill.headers.items() if name.lower() in ADDRESS_HEADERS]
    return [line for line in lines if line.constant is None]


def _names_its_images(outline: str) -> bool:
    """Tell whether "cid:" stands only where `references` finds it."""
    return outline.lower().count("cid:") == len(references(outline))


def _bounds(letter: Letter, fields_and_text: Reading, html: Reading) -> tuple[int, int]:
    """Return how many bytes templates come to at the most, and how many more for each of the row's characters."""
    size, growth = html.size, html.growth
    if letter.text is None:
        size, growth = size * (1 + _TEXT_OF_HTML), growth * (1 + _TEXT_OF_HTML)
    if letter.inlines_css:
        # Each rule may go into each tag.
        size += html.size * html.tags
    size += fields_and_text.size
    growth += fields_and_text.growth
    link = len(letter.unsubscribe_url) + _LINK if letter.unsubscribe_url else 0
    return _JSON * (size + link * (growth + 1)), _JSON * growth


def _as_texts(values: Iterable[Any]) -> tuple[str, ...] | None:
    """Return texts and numbers as texts; None if there is something else."""
    texts = []
    for value in values:
        if type(value) is bool or (type(value) in _NUMBERS and -_LARGE < value < _LARGE):
            texts.append(str(value))
        elif type(value) is str:
            texts.append(value)
        else:
            return None
    return tuple(texts)
