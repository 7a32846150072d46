"""People and senders: ADMINS, MANAGERS, DEFAULT_FROM_EMAIL, SERVER_EMAIL.

Only the shape is looked at here: one address with something on both sides of its "@". What an envelope can carry is
decided by `mail.address`, message by message.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from mailworker.settings.rule import NOT_SET, BadValue, Rule, has_control, show_wrong

# The standard library's parser is not asked: what it makes of a broken list differs between versions of Python.
_ADDRESS = r'(?:"[^"\s]+"|[^\s@<>(),;:"\\]+)@(?:\[[^\s@\[\]]+\]|[^\s@<>(),;:"\[\]\\]+)'
_ENTRY = re.compile(
    rf'\s*(?:(?P<name>"(?:[^"\\]|\\.)*"\s*|[^<>@",;]*)<\s*(?P<inner>{_ADDRESS})\s*>|(?P<bare>{_ADDRESS}))\s*'
)


class Contact(NamedTuple):
    """One of ADMINS or MANAGERS: a (name, address) pair as in Django; the name may be empty."""

    name: str
    address: str

    def __str__(self) -> str:
        if not self.name:
            return self.address
        quoted = self.name.replace("\\", r"\\").replace('"', r"\"")
        return f'"{quoted}" <{self.address}>'


@dataclass(frozen=True)
class Sender(Rule):
    """One address, with or without a name in front of it."""

    expected: ClassVar[str] = 'one address, as "a@example.com" or "Name <a@example.com>"'
    example = "noreply@example.com"

    def parse(self, value: Any) -> str:
        """Take one address on one line."""
        if not isinstance(value, str) or has_control(value) or not _ENTRY.fullmatch(value):
            raise BadValue
        return value


@dataclass(frozen=True)
class People(Rule):
    """A list of addresses, each with or without a name."""

    expected: ClassVar[str] = 'addresses separated by commas, each as "a@example.com" or "Name <a@example.com>"'
    example = "Jane <jane@example.com>,joe@example.com"
    keeps_empty: ClassVar[bool] = True

    def parse(self, value: Any) -> tuple[Contact, ...]:
        """Read addresses from text, or from a list of them and of pairs."""
        if isinstance(value, str):
            return self._from_text(value)
        if not isinstance(value, Sequence) or isinstance(value, (bytes, bytearray)):
            raise BadValue
        return tuple(_contact(place, item) for place, item in enumerate(value))

    def show(self, value: Any) -> str:
        """Return the addresses with commas between them."""
        return ", ".join(str(contact) for contact in value) or NOT_SET

    def _from_text(self, text: str) -> tuple[Contact, ...]:
        people: list[Contact] = []
        place = 0
        while rest := text[place:].lstrip(" ,"):
            place = len(text) - len(rest)
            found = _ENTRY.match(text, place)
            if found is None or text[found.end() : found.end() + 1] not in ("", ",") or has_control(found.group()):
                raise BadValue
            people.append(_named(found))
            place = found.end()
        return tuple(people)


def _contact(place: int, item: Any) -> Contact:
    contact = None
    if isinstance(item, str):
        found = _ENTRY.fullmatch(item)
        contact = _named(found) if found else None
    elif isinstance(item, Sequence) and len(item) == 2 and all(isinstance(part, str) for part in item):
        contact = Contact(*item) if re.fullmatch(_ADDRESS, item[1]) else None
    if contact is None or has_control("".join(contact)):
        raise BadValue(
            f"has {show_wrong(item)} at place {place}, but each entry must be an address or a pair (name, address): "
            'write for instance [("Jane", "jane@example.com")]'
        )
    return contact


def _named(found: re.Match[str]) -> Contact:
    name = (found["name"] or "").strip()
    if name.startswith('"'):
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    return Contact(name, found["inner"] or found["bare"])
