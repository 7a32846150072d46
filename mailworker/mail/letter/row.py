"""A row as bytes: the values of one recipient, which a letter makes a mail of.

    magic "mwr", version, flags      5 bytes
    which letter                     8 bytes: the first of its digest
    values                           JSON in UTF-8, deflated and then encrypted as the flags say

The values are a list in the order of the letter's columns where it knows which ones it looks at, and all that the row has
else. A value is what JSON knows; times, decimals and UUIDs become text as a person reads them. Everything else is a `BadRow`,
and bytes that are no row a `CodecError`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from datetime import date, time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import UUID

from mailworker.errors import BadRow, CodecError
from mailworker.mail.payload import COMPRESS_LEVEL, MAX_HEAD, MIN_COMPRESS, Bytes
from mailworker.mail.sealing import Sealer

if TYPE_CHECKING:
    from mailworker.mail.letter.letter import Letter

#: What a row holds when it is read: by column, or in the order of the letter's columns (`Letter.named`).
Values = Mapping[str, Any] | list[Any]

#: First bytes of every row; readable in a dump of the spool.
MAGIC = b"mwr"

#: The layout that this module writes. A reader keeps all versions that were ever released.
VERSION = 1

_COMPRESSED = 1
_ENCRYPTED = 2
_PREFIX = MAGIC + bytes([VERSION])
#: Where the letter's digest begins, and where it ends.
_LETTER, _VALUES = 5, 13
_FLAGS = [_PREFIX + bytes([flags]) for flags in range(4)]

#: What becomes text by `str`.
_TEXTS = (date, time, Decimal, UUID)


def write_row(letter: Letter, values: Mapping[str, Any], sealer: Sealer) -> bytes:
    """Return a row of a letter as bytes.

    Args:
        letter: knows which columns matter.
        values: by column; None counts as missing.
        sealer: encrypts if it has keys.

    Raises:
        BadRow: a value cannot be carried.
    """
    stored = _text(letter, values)
    flags = 0
    if len(stored) >= MIN_COMPRESS:
        deflated = zlib.compress(stored, COMPRESS_LEVEL)
        # A reader pays for inflating: not for less than an eighth.
        if len(deflated) < len(stored) * 7 // 8:
            flags, stored = _COMPRESSED, deflated
    if sealer.has_keys:
        flags |= _ENCRYPTED
        stored = sealer.seal(stored)
    return _FLAGS[flags] + letter.mark + stored


def read_row(payload: Bytes, sealer: Sealer) -> tuple[str, Values]:
    """Return which letter a row is for, as `Letter.id` says it, and its values.

    Raises:
        CodecError: the bytes are no row of a known version, are damaged, or no key opens them.
    """
    view = memoryview(payload)
    if view[: len(MAGIC)] != MAGIC:
        raise CodecError("the bytes are no row of a bulk: they do not begin with its mark")
    if len(view) <= _VALUES:
        raise CodecError(f"the row is cut short: got {len(view)} bytes, expected more than {_VALUES}")
    if view[len(MAGIC)] != VERSION:
        raise CodecError(
            f"the row is of version {view[len(MAGIC)]}, expected {VERSION}: a newer mailworker wrote it, so update the workers first"
        )
    flags = view[_LETTER - 1]
    if flags & ~(_COMPRESSED | _ENCRYPTED):
        raise CodecError(f"the row has flags {flags:#04x}, which version {VERSION} does not know")
    text: Bytes = view[_VALUES:]
    if flags & _ENCRYPTED:
        text = sealer.open(text)
    if flags & _COMPRESSED:
        text = _inflated(text)
    try:
        values = _decode(str(text, "utf-8"))
    except (ValueError, RecursionError):
        raise CodecError("the row is damaged: it holds no JSON") from None
    if not isinstance(values, dict | list):
        raise CodecError("the row is damaged: it holds no values")
    return view[_LETTER:_VALUES].hex(), values


def as_read(letter: Letter, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as they are once they have been written and read.

    Raises:
        BadRow: one of them cannot be carried.
    """
    return letter.named(_decode(_text(letter, values).decode()))


def _text(letter: Letter, values: Mapping[str, Any]) -> bytes:
    columns = letter.columns
    tree: Values
    if columns is not None:
        get = values.get
        tree = [get(name) for name in columns]
    else:
        tree = {name: value for name, value in values.items() if value is not None}
        for name in tree:
            if not isinstance(name, str):
                raise BadRow(f"the row has a column whose name is {type(name).__name__}; expected text")
    try:
        return _encode(tree).encode()
    except (TypeError, ValueError, RecursionError):
        raise _refusal(columns or tree, values) from None


def _refusal(names: Any, values: Mapping[str, Any]) -> BadRow:
    """Return which column cannot be carried, and why."""
    for name in names:
        try:
            _encode(values.get(name)).encode()
        except UnicodeEncodeError:
            return BadRow(f"{name}: half a character (a surrogate alone) stands in it, which no mail can carry")
        except RecursionError:
            return BadRow(f"{name}: it is nested too deeply, or holds itself")
        except TypeError as error:
            return BadRow(
                f"{name}: {error}; expected text, a number, a date, true or false, or lists and mappings of these"
            )
        except ValueError:
            return BadRow(f"{name}: it is no number, or an infinite one")
    return BadRow("a value of it cannot be carried")


def _as_text(value: Any) -> str:
    if isinstance(value, _TEXTS):
        return str(value)
    raise TypeError(f"it holds a value of type {type(value).__name__}")


_encode = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"), default=_as_text
).encode


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


_decode = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _inflated(deflated: Bytes) -> bytes:
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(deflated, MAX_HEAD)
    except zlib.error:
        raise CodecError("the row is damaged: it cannot be inflated") from None
    if not inflater.eof or inflater.unused_data:
        raise CodecError("the row is damaged: its deflated values end elsewhere")
    return text
