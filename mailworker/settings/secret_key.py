"""MAILWORKER_ENCRYPTION_KEYS: whether each key is one that Fernet takes."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import SecretStr

from mailworker.settings.rule import HIDDEN, NOT_SET, BadValue, Rule, split_list

#: A Fernet key is 16 bytes to sign and 16 bytes to encrypt with, in URL-safe base64 (the Fernet specification).
_KEY_LENGTH = 32

_MAKE_ONE = 'python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'


@dataclass(frozen=True)
class EncryptionKeys(Rule):
    """Fernet keys, the first of which encrypts."""

    expected: ClassVar[str] = "Fernet keys separated by commas (in Python also a list)"
    example: str = "<what the command makes>"
    is_secret: ClassVar[bool] = True
    keeps_empty: ClassVar[bool] = True

    def parse(self, value: Any) -> tuple[SecretStr, ...]:
        """Read the keys; what is wrong is told by their places, without repeating one."""
        if isinstance(value, SecretStr):
            value = value.get_secret_value()
        keys = split_list(value)
        wrong = [str(place) for place, key in enumerate(keys, 1) if not _is_key(key)]
        if wrong:
            raise BadValue(
                f"has {'a key' if len(wrong) == 1 else 'keys'} at place {' and '.join(wrong)} that Fernet does not take: each "
                f"must be 32 bytes in URL-safe base64, as {_MAKE_ONE} makes them"
            )
        return tuple(SecretStr(_secret(key)) for key in keys)

    def show(self, value: Any) -> str:
        """Return how many there are, and none of them."""
        return ",".join(HIDDEN for _ in value) or NOT_SET


def _secret(key: Any) -> str:
    if isinstance(key, SecretStr):
        return key.get_secret_value()
    return key.decode("ascii") if isinstance(key, bytes) else str(key)


def _is_key(key: Any) -> bool:
    if not isinstance(key, (str, bytes, SecretStr)):
        return False
    try:
        text = _secret(key)
        # b64decode skips what is not in its alphabet, so that is looked at first
        return bool(re.fullmatch(r"[A-Za-z0-9_=-]*", text)) and len(base64.urlsafe_b64decode(text)) == _KEY_LENGTH
    except (binascii.Error, ValueError):
        return False
