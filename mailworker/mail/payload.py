"""How a serialized message is laid out in bytes: one head and any number of blobs.

    magic "mwm", version, flags          5 bytes; never compressed, never encrypted
    length and CRC-32 of the stored head 4 + 4 bytes, big-endian; the CRC covers version and flags too
    head                                 JSON in UTF-8, deflated and then encrypted as the flags say
    length, blob                         for each blob; encrypted if the head is, never deflated

The head names each blob by its size and SHA-256, and is a section of its own, so that a spool may keep the blobs
elsewhere. What stands in the JSON is the business of `mail.codec`. Bytes that are not of this layout raise `CodecError`.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from mailworker.errors import CodecError
from mailworker.mail.sealing import Sealer

#: First bytes of every payload; readable in a dump of the broker.
MAGIC = b"mwm"

#: The layout and JSON that this module and `mail.codec` write. A reader keeps all versions that were ever released.
VERSION = 1

#: Bytes. No head is larger before compression, so that a few kilobytes cannot fill a worker's memory (deflate packs
#: up to 1032:1). It is well above what a relay takes: the common limit for a whole message is 10 to 50 MB.
MAX_HEAD = 64 * 1024 * 1024

#: Bytes. Below it, deflate saves less than a kilobyte and costs as much as the rest of the encoding.
MIN_COMPRESS = 2048

#: Fastest level: HTML shrinks to a third with it already, and the caller waits for this.
COMPRESS_LEVEL = 1

#: Bytes. Blobs are shared between mails only above this size (DESIGN §7): below, a text stays in the head.
BLOB_THRESHOLD = 64 * 1024

_COMPRESSED = 1
_ENCRYPTED = 2
_PREFIX = struct.Struct(">3sBBII")
_FRAME = struct.Struct(">I")
_MAX_SECTION = 0xFFFFFFFF

#: What a payload may come in.
Bytes = bytes | bytearray | memoryview


class Blob(NamedTuple):
    """One piece of content that travels outside the JSON.

    Attributes:
        digest: SHA-256 of the content.
        size: bytes of the content.
        stored: the content as it is kept: encrypted if there are keys.
    """

    digest: bytes
    size: int
    stored: bytes


class Parts(NamedTuple):
    """A payload in pieces: `join` makes one byte string of it.

    Attributes:
        head: prefix and head, with all that is needed to check the blobs.
        blobs: in the order in which the head names them.
    """

    head: bytes
    blobs: tuple[Blob, ...]

    def join(self) -> bytes:
        """Return the payload as one byte string."""
        if not self.blobs:
            return self.head
        pieces: list[bytes] = [self.head]
        for blob in self.blobs:
            pieces += (_FRAME.pack(len(blob.stored)), blob.stored)
        return b"".join(pieces)


def digest_of(content: Bytes) -> bytes:
    """Return the SHA-256 by which a blob is known."""
    return hashlib.sha256(content).digest()


def write_head(text: bytes, sealer: Sealer, magic: bytes = MAGIC) -> bytes:
    """Return prefix and head for this JSON.

    Args:
        text: the JSON, at most `MAX_HEAD` bytes.
        sealer: encrypts if it has keys.
        magic: first bytes, which tell what it is.
    """
    flags = 0
    stored = text
    if len(text) >= MIN_COMPRESS:
        deflated = zlib.compress(text, COMPRESS_LEVEL)
        # A reader pays for inflating: not for less than an eighth.
        if len(deflated) < len(text) * 7 // 8:
            flags |= _COMPRESSED
            stored = deflated
    if sealer.has_keys:
        flags |= _ENCRYPTED
        stored = sealer.seal(stored)
    return _PREFIX.pack(magic, VERSION, flags, len(stored), _crc(VERSION, flags, stored)) + stored


def write_blob(content: bytes, digest: bytes, sealer: Sealer) -> Blob:
    """Return the blob of this content."""
    return Blob(digest, len(content), sealer.seal(content) if sealer.has_keys else content)


def split(payload: Bytes) -> tuple[memoryview, list[memoryview]]:
    """Return the head's section and the stored blobs, without a copy.

    Raises:
        CodecError: if the payload is cut short or is nothing of ours.
    """
    view = memoryview(payload)
    at = _PREFIX.size + _prefix(view)[2]
    if at > len(view):
        raise CodecError(f"the mail is cut short: its head needs {at} bytes, got {len(view)}")
    head, blobs = view[:at], []
    while at < len(view):
        if len(view) - at < _FRAME.size:
            raise CodecError(f"the mail is damaged: {len(view) - at} bytes behind its last blob")
        length: int = _FRAME.unpack_from(view, at)[0]
        at += _FRAME.size
        if length > len(view) - at:
            raise CodecError(f"the mail is cut short: a blob needs {length} bytes, {len(view) - at} are left")
        blobs.append(view[at : at + length])
        at += length
    return head, blobs


def read_head(head: Bytes, sealer: Sealer, magic: bytes = MAGIC) -> bytes:
    """Return the JSON of a head's section.

    Args:
        head: what `write_head` returned.
        sealer: decrypts.
        magic: first bytes that it has to have.

    Raises:
        CodecError: if it is not exactly one undamaged head, no key opens it, or it would inflate beyond `MAX_HEAD`.
    """
    view = memoryview(head)
    version, flags, length, crc = _prefix(view, magic)
    stored = view[_PREFIX.size :]
    if len(stored) != length:
        raise CodecError(f"the mail's head is of {length} bytes, got {len(stored)}")
    if crc != _crc(version, flags, stored):
        raise CodecError("the mail is damaged: the checksum of its head does not fit")
    if flags & ~(_COMPRESSED | _ENCRYPTED):
        raise CodecError(f"the mail has flags {flags:#04x}, which version {version} does not know")
    text: Bytes = sealer.open(stored) if flags & _ENCRYPTED else stored
    if flags & _COMPRESSED:
        return _inflate(text)
    if len(text) > MAX_HEAD:
        raise CodecError(f"the mail's head is of {len(text)} bytes, expected at most {MAX_HEAD}")
    return bytes(text)


def is_encrypted(head: Bytes) -> bool:
    """True if the head, and with it every blob, is encrypted."""
    return bool(_prefix(memoryview(head))[1] & _ENCRYPTED)


def read_blobs(stored: Sequence[Bytes], known: Sequence[tuple[int, str]], head: Bytes, sealer: Sealer) -> list[Bytes]:
    """Return the content of the blobs, checked against the sizes and digests that the head names.

    Args:
        stored: the blobs as they are kept, in the head's order.
        known: size and SHA-256 (hexadecimal) of each, from the head.
        head: the head's section, which says whether they are encrypted.
        sealer: decrypts.

    Raises:
        CodecError: if one is missing, too many, damaged, or no key opens it.
    """
    if len(stored) != len(known):
        raise CodecError(f"the mail has {len(stored)} blobs, expected {len(known)}")
    contents: list[Bytes] = []
    encrypted = is_encrypted(head)
    for place, (blob, (size, digest)) in enumerate(zip(stored, known, strict=True)):
        content = sealer.open(blob) if encrypted else blob
        if len(content) != size or digest_of(content).hex() != digest:
            raise CodecError(f"blob {place} of the mail is damaged, or is another one's")
        contents.append(content)
    return contents


def _prefix(view: memoryview, magic: bytes = MAGIC) -> tuple[int, int, int, int]:
    """Return version, flags, length of the stored head and its CRC."""
    if view[: len(magic)] != magic:
        raise CodecError("the bytes are no mail of ours: they do not begin with its mark")
    if len(view) < _PREFIX.size:
        raise CodecError(f"the mail is cut short: got {len(view)} bytes, expected {_PREFIX.size} or more")
    version, flags, length, crc = _PREFIX.unpack_from(view)[1:]
    if version != VERSION:
        raise CodecError(
            f"the mail is of version {version}, expected {VERSION}: a newer mailworker wrote it, so update the workers first"
        )
    return version, flags, length, crc


def _crc(version: int, flags: int, stored: Bytes) -> int:
    return zlib.crc32(stored, zlib.crc32(bytes((version, flags))))


def _inflate(deflated: Bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        # One byte more than allowed, so that a head of exactly the limit still comes to its end.
        text = inflater.decompress(deflated, MAX_HEAD + 1)
    except zlib.error:
        raise CodecError("the mail is damaged: its head cannot be inflated") from None
    if len(text) > MAX_HEAD:
        raise CodecError(f"the mail's head is of more than {MAX_HEAD} bytes")
    if not inflater.eof:
        raise CodecError("the mail is damaged: its deflated head has no end")
    if inflater.unused_data:
        raise CodecError("the mail is damaged: bytes behind its deflated head")
    return text
