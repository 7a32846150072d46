"""What one setting accepts: its rule turns what a source gave into the value that the program uses, or says no.

A rule knows one value and never another setting (`consistency` looks at several), nor where the value came from (`source`).
It fails with `BadValue`; `sentence` makes of it the one sentence that a person reads, without a secret and without a
whole address in it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

#: What stands in place of a secret, as in pydantic's own `SecretStr`.
HIDDEN = "**********"

#: How a setting without a value is shown to a person.
NOT_SET = "not set"

#: Longest piece of a wrong value that a sentence repeats, in characters: enough to recognise it in a file.
_LONGEST_SHOWN = 60

_LOCAL_PART = re.compile(r"""(["']*[^\s@<>,;]?)[^\s@<>,;]*@""")


class BadValue(ValueError):  # noqa: N818 - a verdict on a value, translated into ConfigurationError at the edge
    """Raised when a value breaks its rule.

    Attributes:
        reasons: each one the rest of a sentence that begins with the setting's name; empty = the rule's own words.
    """

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


class Rule(ABC):
    """The rule of one setting; stands in the `Annotated` metadata of its field."""

    expected: ClassVar[str] = ""  #: finishes the sentence "it must be ..."
    example: str  #: a right value as one would write it in the environment
    is_secret: ClassVar[bool] = False  #: a wrong value is not repeated
    keeps_empty: ClassVar[bool] = False  #: an empty string is a value; for the others it counts as unset

    @abstractmethod
    def parse(self, value: Any) -> Any:
        """Turn what a source gave into the value; take what it returned before unchanged.

        Raises:
            BadValue: if the rule does not allow it.
        """

    def expects(self) -> str:
        """Return what finishes the sentence "it must be ..."."""
        return self.expected

    def show(self, value: Any) -> str:
        """Return the value as a person may see it in `check` and in the README."""
        return NOT_SET if value is None else str(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.parse)


def mask_addresses(text: str) -> str:
    """Return the text with the local part of each address, and a password before a host, cut to its first letter."""
    return _LOCAL_PART.sub(r"\1…@", text)


def show_wrong(value: Any) -> str:
    """Return a wrong value so that its owner recognises it and nobody else learns an address or a password."""
    if isinstance(value, (bytes, bytearray)):
        return f"{len(value)} bytes"
    text = repr(value)
    if "://" in text and "@" in text:
        return "a URL with a name or password in it"
    text = mask_addresses(text)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def sentences(name: str, origin: str, value: Any, rule: Rule, problem: BadValue) -> list[str]:
    """Return what is wrong with a value: the name, what it got, what it expected, how to mend it.

    Args:
        name: the setting.
        origin: where the value came from: "the environment".
        value: what the source gave.
        rule: the setting's rule.
        problem: what the rule said.
    """
    if problem.reasons:
        return [f"{name} (from {origin}) {reason}{'' if reason.endswith('?') else '.'}" for reason in problem.reasons]
    got = "has a value that is not shown here" if rule.is_secret else f"is {show_wrong(value)}"
    return [f"{name} (from {origin}) {got}, but must be {rule.expects()}: write for instance {name}={rule.example}."]


def has_control(text: str) -> bool:
    """True if a control character (CR and LF among them) is in the text."""
    return any(ord(char) < 32 or ord(char) == 127 for char in text)


def split_list(value: Any) -> list[Any]:
    """Return the parts of a comma-separated string, or the items of any other iterable that is not a mapping.

    Raises:
        BadValue: if it is neither.
    """
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, Iterable) and not isinstance(value, (bytes, bytearray, dict)):
        return list(value)
    raise BadValue


def is_dotted(path: str) -> bool:
    """True if the text is one or more Python names with dots between them."""
    return all(part.isidentifier() for part in path.split("."))
