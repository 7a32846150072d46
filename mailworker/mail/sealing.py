"""Whether bytes can be read by whoever looks into the broker: encryption with the keys of `MAILWORKER_ENCRYPTION_KEYS`.

The first key encrypts, all of them decrypt, so that keys can be rotated: put the new one first, drop the old one when
nothing sealed with it is queued any more. The format inside is Fernet (AES-128-CBC with HMAC-SHA256), kept without its
base64, which would cost a third more memory. What is sealed, and what it means, is the caller's business. Bytes that no
key opens are a `CodecError`; bad keys, or a missing `cryptography`, a `ConfigurationError` that shows no key.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mailworker.buffer import room, taken
from mailworker.errors import CodecError, ConfigurationError

if TYPE_CHECKING:
    from cryptography.fernet import Fernet, MultiFernet


#: Bytes above which a piece is opened here, in blocks, and not by Fernet: with base64 both ways and its copies that takes five
#: times the piece's size in memory, and a good deal of time. A small one is opened sooner by what is written in C.
_LARGE = 256 * 1024

#: Bytes of a block.
_BLOCK = 65536

#: Where the parts of a Fernet token are: behind its version and time 16 bytes of IV, and at its end the HMAC.
_IV, _CONTENT, _HMAC = 9, 25, 32


class Sealer:
    """Seals and opens bytes with a set of keys; without keys it can do neither."""

    __slots__ = ("_count", "_fernet", "_keys", "_marking", "_naming")

    def __init__(self, keys: Sequence[str | bytes] = ()) -> None:
        """Take the keys.

        Args:
            keys: Fernet keys, each 32 random bytes in URL-safe base64; the first one seals, all of them open.

        Raises:
            ConfigurationError: if one is no such key, or `cryptography` is not installed.
        """
        if isinstance(keys, str | bytes):
            raise ConfigurationError(
                "MAILWORKER_ENCRYPTION_KEYS: got one string, expected a list of keys; put it into a list"
            )
        self._count = len(keys)
        self._fernet: MultiFernet | None = _multi_fernet(keys) if keys else None
        self._keys = [base64.urlsafe_b64decode(key) for key in keys]
        # The oldest key: what is found again by its mark is still found when a new key has been put first.
        self._marking = self._keys[-1] if keys else b""
        self._naming = self._keys[0] if keys else b""

    def __repr__(self) -> str:
        return f"<Sealer with {self._count} keys>"

    @property
    def has_keys(self) -> bool:
        """True if there is a key to seal with."""
        return self._fernet is not None

    def seal(self, data: bytes) -> bytes:
        """Encrypt bytes with the first key.

        Raises:
            ConfigurationError: if there is no key.
        """
        if self._fernet is None:
            raise ConfigurationError(
                "MAILWORKER_ENCRYPTION_KEYS is empty, expected at least one key to encrypt with; "
                "make one with `cryptography.fernet.Fernet.generate_key()`"
            )
        return base64.urlsafe_b64decode(self._fernet.encrypt(data))

    def name(self, data: bytes) -> str:
        """Return a name for what is sealed with the first key: an HMAC of it in hexadecimal digits.

        As `mark`, but by the first key: once a new one has been put first, nothing is called what the old one has sealed.

        Raises:
            ConfigurationError: if there is no key.
        """
        return self._digest(self._naming, data)

    def mark(self, data: bytes) -> str:
        """Return a name for bytes that tells nothing about them to who has no key: an HMAC in hexadecimal digits.

        A plain digest would confirm a guess, of a known file or an address. The last key makes it, so that equal bytes have
        one name as long as that key is kept.

        Raises:
            ConfigurationError: if there is no key.
        """
        return self._digest(self._marking, data)

    def _digest(self, key: bytes, data: bytes) -> str:
        if not key:
            raise ConfigurationError("MAILWORKER_ENCRYPTION_KEYS is empty, expected at least one key to mark with")
        return hmac.digest(key, b"mailworker" + data, "sha256").hex()

    def open(self, sealed: bytes | bytearray | memoryview) -> bytes:
        """Decrypt what `seal` returned, with whichever key fits.

        Raises:
            CodecError: if there is no key here, or none of them opens it, or it is damaged.
        """
        if self._fernet is None:
            raise CodecError(
                "the mail is encrypted and MAILWORKER_ENCRYPTION_KEYS is empty here; set the sender's keys"
            )
        from cryptography.fernet import InvalidToken

        try:
            if len(sealed) > _LARGE:
                return self._opened_in_blocks(memoryview(sealed))
            return self._fernet.decrypt(base64.urlsafe_b64encode(sealed))
        except InvalidToken:
            raise CodecError(
                f"none of the {self._count} keys in MAILWORKER_ENCRYPTION_KEYS opens the mail: "
                "it was encrypted with another key, or it is damaged"
            ) from None

    def _opened_in_blocks(self, sealed: memoryview) -> bytes:
        """Decrypt as Fernet does, with no more in memory than what goes in and what comes out.

        Raises:
            InvalidToken: as Fernet does.
        """
        from cryptography.fernet import InvalidToken

        end = len(sealed) - _HMAC
        for key in self._keys if sealed[0] == 0x80 else ():
            # Before anything is decrypted: what nobody with the key has sealed is not looked at.
            if hmac.compare_digest(hmac.digest(key[:16], sealed[:end], "sha256"), sealed[end:]):
                try:
                    return _decrypted(key[16:], bytes(sealed[_IV:_CONTENT]), sealed[_CONTENT:end])
                except ValueError:
                    break
        raise InvalidToken


def _decrypted(key: bytes, iv: bytes, content: memoryview) -> bytes:
    """Return what AES-128-CBC has encrypted.

    Raises:
        ValueError: its length, or its padding, is none.
    """
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.padding import PKCS7

    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    unpadder = PKCS7(128).unpadder()
    out = room(len(content))
    for at in range(0, len(content), _BLOCK):
        out.write(unpadder.update(decryptor.update(content[at : at + _BLOCK])))
    out.write(unpadder.update(decryptor.finalize()) + unpadder.finalize())
    return taken(out)


def _multi_fernet(keys: Sequence[str | bytes]) -> MultiFernet:
    try:
        from cryptography.fernet import Fernet, MultiFernet
    except ImportError:
        raise ConfigurationError(
            "MAILWORKER_ENCRYPTION_KEYS needs the package cryptography, which is not installed; "
            "install it with `pip install 'mailworker[crypto]'`"
        ) from None
    return MultiFernet([_fernet(Fernet, key, place) for place, key in enumerate(keys, 1)])


def _fernet(kind: type[Fernet], key: str | bytes, place: int) -> Fernet:
    try:
        # Fernet's own decoder skips what is no base64, so that a mistyped key could pass for another one.
        if len(base64.b64decode(key, b"-_", validate=True)) == 32:
            return kind(key)
    except (TypeError, ValueError, binascii.Error):
        pass
    # No `from error`: a traceback must not show the key as an argument.
    raise ConfigurationError(
        f"MAILWORKER_ENCRYPTION_KEYS: key {place} is not a Fernet key, expected 32 bytes in URL-safe base64; "
        "make one with `cryptography.fernet.Fernet.generate_key()`"
    )
