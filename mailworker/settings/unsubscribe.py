"""MAILWORKER_UNSUBSCRIBE_URL and MAILWORKER_UNSUBSCRIBE_KEYS: where a recipient's link leads, and what signs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import SecretStr

from mailworker.settings.rule import HIDDEN, NOT_SET, BadValue, Rule, split_list

#: What a recipient's token takes the place of.
TOKEN = "{token}"  # noqa: S105 - no password

#: Characters that a key has at the least.
_SHORTEST_KEY = 16

_MAKE_ONE = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'
#: Hosts of a machine under development, which have no certificate.
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class UnsubscribeUrl(Rule):
    """An https: URL with a place for the token, or None."""

    expected: ClassVar[str] = f"an https: URL with {TOKEN} once in its path or query (http: is for localhost alone)"
    example = f"https://example.com/unsubscribe/{TOKEN}"

    def parse(self, value: Any) -> str | None:
        """Take a URL that mail programs may be sent to (RFC 8058 §3.1 wants https)."""
        if value is None:
            return None
        if not isinstance(value, str) or not value.isascii() or not value.isprintable() or set(' <>"') & set(value):
            raise BadValue
        try:
            url = urlsplit(value)
            host, _ = url.hostname, url.port
        except ValueError:
            raise BadValue from None
        is_safe = url.scheme == "https" or (url.scheme == "http" and host in _LOCAL)
        if not (is_safe and host) or value.count(TOKEN) != 1 or TOKEN not in url.path + url.query:
            raise BadValue
        return value


@dataclass(frozen=True)
class SigningKeys(Rule):
    """Secrets, the first of which signs."""

    expected: ClassVar[str] = (
        f"keys of at least {_SHORTEST_KEY} characters separated by commas (in Python also a list), as {_MAKE_ONE} makes them"
    )
    example: str = "<what the command makes>"
    is_secret: ClassVar[bool] = True
    keeps_empty: ClassVar[bool] = True

    def parse(self, value: Any) -> tuple[SecretStr, ...]:
        """Read the keys; what is wrong is told by their places, without repeating one."""
        keys = split_list(value.get_secret_value() if isinstance(value, SecretStr) else value)
        texts = [key.get_secret_value() if isinstance(key, SecretStr) else key for key in keys]
        wrong = [str(at) for at, text in enumerate(texts, 1) if not isinstance(text, str) or len(text) < _SHORTEST_KEY]
        if wrong:
            raise BadValue(
                f"has {'a key' if len(wrong) == 1 else 'keys'} at place {' and '.join(wrong)} that is no text of "
                f"{_SHORTEST_KEY} characters or more; make one with {_MAKE_ONE}"
            )
        return tuple(SecretStr(text) for text in texts)

    def show(self, value: Any) -> str:
        """Return how many there are, and none of them."""
        return ",".join(HIDDEN for _ in value) or NOT_SET
