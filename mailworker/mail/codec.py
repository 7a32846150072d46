"""Turns a message into bytes that can be queued, and back (DESIGN §7): versioned, compressed, encrypted if there are keys.

Puts together what its neighbours know: `mail.fields` which fields there are, `mail.payload` how they lie in bytes,
`mail.sealing` who can read them. Where the bytes are kept, and whether the message may be sent at all (`mail.check`), is
not decided here. Encoding fails with `UnserializableMessage` or `MessageTooLarge` in the caller; decoding, whatever the
bytes are, with `CodecError` and nothing else. Never pickle: bytes from a broker must not run code.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from mailworker.errors import CodecError, ConfigurationError, MessageTooLarge
from mailworker.mail import payload as layout
from mailworker.mail.fields import lone_surrogate, read_fields, write_fields
from mailworker.mail.payload import Blob, Bytes, Parts
from mailworker.mail.sealing import Sealer
from mailworker.mail.value import unencodable

if TYPE_CHECKING:
    from mailworker.mail.message import EmailMessage


class Codec:
    """Encodes and decodes messages with one set of keys. Safe to share between threads."""

    __slots__ = ("_max_size", "sealer")

    def __init__(self, keys: Sequence[str | bytes] = (), max_size: int | None = None) -> None:
        """Take keys and limit.

        Args:
            keys: Fernet keys; the first encrypts, all decrypt; none = nothing is encrypted.
            max_size: bytes that a message may have, fields and attachments together, before compression and
                encryption; None = no limit. Decoding does not ask for it: what was accepted is delivered.

        Raises:
            ConfigurationError: if a key is none, or `cryptography` is not installed.
        """
        self.sealer = Sealer(keys)
        self._max_size = max_size

    def __repr__(self) -> str:
        return f"<Codec: {self.sealer!r}, max_size={self._max_size}>"

    def encode(self, message: Any, login: tuple[str, str] | None = None) -> bytes:
        """Return a message as one byte string.

        Fixes the message's Message-ID and Date on the message itself: encoding it again gives the same ones.

        Args:
            message: an `EmailMessage` of ours or Django's, or a subclass of one.
            login: user and password that the relay shall see with this message; encrypted, so that keys are needed.

        Raises:
            ConfigurationError: if there is a login and no key.
            UnserializableMessage: if it holds what cannot be carried; the text names the attribute.
            MessageTooLarge: if it is over `max_size`.
        """
        return self.encode_parts(message, login).join()

    def encode_parts(self, message: Any, login: tuple[str, str] | None = None) -> Parts:
        """Return a message as head and blobs, for a spool that keeps large blobs elsewhere.

        Raises:
            UnserializableMessage, MessageTooLarge: as `encode` does.
        """
        blobs = _Written(self._max_size)
        tree = write_fields(message, blobs)
        if blobs.known:
            tree["blobs"] = blobs.known
        if login is not None:
            if not self.sealer.has_keys:
                raise ConfigurationError(
                    "a login of its own travels with a message only encrypted: set MAILWORKER_ENCRYPTION_KEYS, or name "
                    "a mailer in MAILERS whose login stays with the worker"
                )
            tree["login"] = login
        text = _dump(tree)
        blobs.check(blobs.size + len(text))
        if len(text) > layout.MAX_HEAD:
            raise MessageTooLarge(
                f"the message's text is of {len(text)} bytes, expected at most {layout.MAX_HEAD}; send it as an attachment"
            )
        head = layout.write_head(text, self.sealer)
        return Parts(head, tuple(layout.write_blob(*blob, self.sealer) for blob in blobs.contents))

    def decode(self, payload: Bytes) -> EmailMessage:
        """Return the message that was encoded.

        Raises:
            CodecError: if the bytes are no message of a known version, are damaged, or no key opens them.
        """
        return self.decode_parts(*layout.split(payload))

    def decode_parts(self, head: Bytes, blobs: Sequence[Bytes]) -> EmailMessage:
        """Return the message that was encoded with `encode_parts`.

        Args:
            head: `Parts.head`.
            blobs: `Blob.stored` of `Parts.blobs`, in that order.

        Raises:
            CodecError: as `decode` does, and if a blob is missing or another one's.
        """
        try:
            tree = _load(layout.read_head(head, self.sealer))
            known = _known(tree.pop("blobs", []))
            login = _login(tree.pop("login", None))
            message = read_fields(tree, _Read(layout.read_blobs(blobs, known, head, self.sealer)))
            if login is not None:
                message.relay_login = login
            return message
        except CodecError:
            raise
        except _MALFORMED as error:
            # No `from error`: its text may hold a piece of the message.
            raise CodecError(f"the mail is malformed: {type(error).__name__} while it was read") from None


#: What reading a tree that no encoder wrote can raise besides `CodecError`: lookups, conversions, nesting, memory.
_MALFORMED = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    zlib.error,
)


class _Written:
    """The blobs of a message that is being encoded: equal ones are kept once."""

    def __init__(self, limit: int | None) -> None:
        self.contents: list[tuple[bytes, bytes]] = []
        self.known: list[tuple[int, str]] = []
        self.size = 0
        self._limit = limit
        self._places: dict[bytes, int] = {}

    def add(self, content: bytes) -> int:
        """Keep the content and return its place; a message that is over the limit already goes no further."""
        self.check(self.size + len(content))
        digest = layout.digest_of(content)
        place = self._places.setdefault(digest, len(self.contents))
        if place == len(self.contents):
            self.contents.append((content, digest))
            self.known.append((len(content), digest.hex()))
            self.size += len(content)
        return place

    def check(self, size: int) -> None:
        """Raise `MessageTooLarge` if a message of this many bytes is."""
        if self._limit is not None and size > self._limit:
            raise MessageTooLarge(
                f"the message is of {size} bytes or more, expected at most {self._limit}; "
                "make it smaller, or raise MAILWORKER_MAX_MESSAGE_SIZE"
            )


class _Read:
    """The blobs of a message that is being decoded."""

    def __init__(self, contents: Sequence[Bytes]) -> None:
        self._contents = contents

    def __len__(self) -> int:
        return len(self._contents)

    def take(self, place: object) -> Bytes:
        """Return the content at a place."""
        if type(place) is not int or not 0 <= place < len(self._contents):
            raise CodecError("the mail is malformed: it names a blob that it has not")
        return self._contents[place]


def _known(tree: Any) -> list[tuple[int, str]]:
    if not isinstance(tree, list):
        raise CodecError("the mail is malformed: its list of blobs is none")
    known: list[tuple[int, str]] = []
    for pair in tree:
        if not isinstance(pair, list) or len(pair) != 2 or type(pair[0]) is not int or not isinstance(pair[1], str):
            raise CodecError("the mail is malformed: its list of blobs is none")
        known.append((pair[0], pair[1]))
    return known


def _login(tree: Any) -> tuple[str, str] | None:
    if tree is None:
        return None
    if not isinstance(tree, list) or len(tree) != 2 or not all(isinstance(part, str) for part in tree):
        raise CodecError("the mail is malformed: its login is none")
    return tree[0], tree[1]


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")).encode


def _dump(tree: dict[str, Any]) -> bytes:
    try:
        return _encode(tree).encode()
    except UnicodeEncodeError:
        raise lone_surrogate(unencodable(tree) or "the message") from None


def _load(text: bytes) -> dict[str, Any]:
    try:
        tree = _decode(text.decode())
    except (ValueError, RecursionError):
        raise CodecError("the mail is malformed: its head is no JSON") from None
    if not isinstance(tree, dict):
        raise CodecError("the mail is malformed: its head is no object")
    return tree


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode

__all__ = ["Blob", "Codec", "Parts"]
