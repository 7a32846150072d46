"""Rules for text, passwords, hosts, paths and names."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any, ClassVar

from pydantic import SecretStr

from mailworker.settings.rule import HIDDEN, NOT_SET, BadValue, Rule, has_control, is_dotted

#: Longest host name (RFC 1035 §2.3.4), in characters.
_LONGEST_HOST = 253


@dataclass(frozen=True)
class Text(Rule):
    """One line of text, which may be empty."""

    example: str
    expected: ClassVar[str] = "text on one line"
    keeps_empty: ClassVar[bool] = True

    def parse(self, value: Any) -> str:
        """Take text without control characters."""
        if not isinstance(value, str) or has_control(value):
            raise BadValue
        return value

    def show(self, value: Any) -> str:
        """Return the text, in quotes where spaces at its ends would not be seen."""
        return f'"{value}"' if value != value.strip() else value or NOT_SET


@dataclass(frozen=True)
class Password(Rule):
    """A secret on one line, which may be empty."""

    expected: ClassVar[str] = "text on one line (look for a line break at its end)"
    example = "..."
    is_secret: ClassVar[bool] = True
    keeps_empty: ClassVar[bool] = True

    def parse(self, value: Any) -> SecretStr:
        """Take text without control characters, and hide it."""
        secret = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not isinstance(secret, str) or has_control(secret):
            raise BadValue
        return SecretStr(secret)

    def show(self, value: Any) -> str:
        """Return only whether there is one."""
        return HIDDEN if value.get_secret_value() else NOT_SET


@dataclass(frozen=True)
class Host(Rule):
    """A host name or IP address, without scheme and port."""

    expected: ClassVar[str] = (
        "a host name or IP address alone; the port goes into EMAIL_PORT, a whole URL into EMAIL_URL"
    )
    example = "smtp.example.com"

    def parse(self, value: Any) -> str:
        """Take a name or an address; an IPv6 address also in brackets, which it loses."""
        if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST_HOST or has_control(value):
            raise BadValue
        host = value[1:-1] if value.startswith("[") and value.endswith("]") else value
        if ":" in host:
            try:
                IPv6Address(host)
            except ValueError:
                raise BadValue from None
        elif any(char.isspace() or char in "/@[]," for char in host):
            raise BadValue
        return host


@dataclass(frozen=True)
class FilePath(Rule):
    """A path, or None."""

    what: str
    example: str

    def expects(self) -> str:
        """Return what the path has to be of."""
        return f"the path of {self.what}"

    def parse(self, value: Any) -> Path | None:
        """Take text or a path; whether a file is there is not asked."""
        if value is None:
            return None
        if not isinstance(value, (str, os.PathLike)):
            raise BadValue
        path = os.fspath(value)
        if not isinstance(path, str) or not path or "\0" in path:
            raise BadValue
        return Path(path)


@dataclass(frozen=True)
class Charset(Rule):
    """A text encoding that Python knows."""

    expected: ClassVar[str] = "the name of a text encoding that Python knows"
    example = "utf-8"

    def parse(self, value: Any) -> str:
        """Take a name that Python encodes text with."""
        if not isinstance(value, str):
            raise BadValue
        try:
            "".encode(value)  # unlike codecs.lookup, this refuses what is no text encoding, such as base64
        except (LookupError, ValueError):
            raise BadValue from None
        return value


@dataclass(frozen=True)
class Namespace(Rule):
    """A name that is safe in a Celery queue's name and between the braces of a Redis hash tag."""

    expected: ClassVar[str] = "1 to 64 letters, digits, dots, underscores or hyphens, beginning with a letter or digit"
    example = "mailworker"

    def parse(self, value: Any) -> str:
        """Take a name that is safe in those places."""
        if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
            raise BadValue
        return value


@dataclass(frozen=True)
class Choice(Rule):
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def example(self) -> str:  # type: ignore[override]  # the first word is one
        """The first word."""
        return self.words[0]

    def expects(self) -> str:
        """Return the words."""
        return " or ".join(map(repr, self.words))

    def parse(self, value: Any) -> str:
        """Take a word, in whatever letter case."""
        if not isinstance(value, str) or value.strip().lower() not in self.words:
            raise BadValue
        return value.strip().lower()


@dataclass(frozen=True)
class CeleryApp(Rule):
    """Where the project's own Celery app is: "module:attribute", or None."""

    expected: ClassVar[str] = "a module and the app in it, with a colon between them"
    example = "proj.celery:app"

    def parse(self, value: Any) -> str | None:
        """Take a path of that form; the module is imported later."""
        if value is None:
            return None
        if not isinstance(value, str):
            raise BadValue
        module, colon, attribute = value.partition(":")
        if not colon or not is_dotted(module) or not is_dotted(attribute):
            raise BadValue
        return value
