"""Which single values can be carried in JSON without becoming something else, and how those look that JSON has no form for.

Strings and lazy strings, numbers, lists, tuples, dicts with string keys, charsets. Everything else is refused: a value
that would come out of the queue as another type, or as a text that nobody asked for, is worse than an error in the
caller. Writing fails with `UnserializableMessage`, which names the place and the type and never shows the value;
reading fails with `CodecError`.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Mapping
from datetime import date, datetime
from email.charset import Charset
from types import MappingProxyType
from typing import Any, NoReturn

from mailworker.errors import CodecError, UnserializableMessage

#: Levels of lists and dicts in an attribute, and of parts in an attachment. Python's own limit is near 1000 frames.
MAX_DEPTH = 64

#: A dict of data with this key is itself wrapped, so that data can never look like a tag.
_TAG = "\x00"

#: Bits of an int. Python turns no int of more than 4300 digits into text (sys.set_int_max_str_digits).
_MAX_BITS = 8192

_DICTS = (dict, OrderedDict, MappingProxyType)
_UNPRINTED = (int, float, type, bytes, bytearray, memoryview, list, tuple, dict, set, frozenset)
_SHOWABLE_KEY = re.compile(r"[A-Za-z0-9_.\-]{1,60}")
_CHARSET_FIELDS = (
    "input_charset",
    "header_encoding",
    "body_encoding",
    "output_charset",
    "input_codec",
    "output_codec",
)


def refuse(where: str, value: object, expected: str) -> NoReturn:
    """Raise `UnserializableMessage` for a value of the wrong type.

    Args:
        where: the attribute and the place in it, "attachments[2].content" for instance.
        value: only its type is shown.
        expected: what could be carried, and how to mend it if that is not plain.
    """
    name = type(value).__name__
    raise UnserializableMessage(f"{where} is of type {name}, which cannot be carried in the queue; expected {expected}")


def at_key(where: str, key: object, place: int) -> str:
    """Return the name of a dict's entry: by its key, unless that could be an address."""
    if isinstance(key, str) and _SHOWABLE_KEY.fullmatch(key):
        return f"{where}[{key!r}]"
    return f"{where}[key {place}]"


def text(value: object, where: str) -> str:
    """Return a string or lazy string as a plain `str`.

    Raises:
        UnserializableMessage: if it is none.
    """
    if type(value) is str:
        return value
    if issubclass(type(value), str):  # isinstance() would believe a proxy's __class__
        plain = str.__str__(value)  # pyright: ignore[reportArgumentType]  # by its true type it is one
        # For instance a member of `class Kind(str, Enum)`: it renders as its name, and compares as its value.
        if str(value) != plain:
            refuse(where, value, "a str that equals its own str(); pass that one")
        return plain
    if is_lazy(value):
        return _printed(value, where)
    refuse(where, value, "a str")


def printed(value: object, where: str) -> str:
    """Return what a header shows for a value that has a text form of its own (an `Address`, a UUID) or is a string.

    Raises:
        UnserializableMessage: if it has none.
    """
    if is_text(value):
        return text(value, where)
    # bytes and containers have a text form that nobody wants in a header.
    if value is None or isinstance(value, _UNPRINTED) or type(value).__str__ is object.__str__:
        refuse(where, value, "a str")
    return _printed(value, where)


def scalar(value: object, where: str) -> str | float | bool | None:
    """Return the value of a header: a string, or a number, bool or None as such.

    Raises:
        UnserializableMessage: if it is none of these and has no text form of its own.
    """
    if value is None or type(value) is str or type(value) is bool:
        return value
    if isinstance(value, int | float):
        return str(value) if isinstance(value, float) and not math.isfinite(value) else number(value, where)
    return printed(value, where)


def number(value: float, where: str) -> float:
    """Return an int or float as such, without a subclass around it.

    Raises:
        UnserializableMessage: if JSON has no form for it, or its subclass shows itself otherwise.
    """
    plain: float = int(value) if isinstance(value, int) else float(value)
    if isinstance(plain, int) and plain.bit_length() > _MAX_BITS:
        refuse(where, value, f"a number of at most {_MAX_BITS} bits; pass it as a str")
    if not math.isfinite(plain):
        refuse(where, value, "a finite number")
    if type(value) is not type(plain) and str(value) != str(plain):
        refuse(where, value, f"a plain {type(plain).__name__}; pass that one")
    return plain


def data(value: object, where: str, depth: int = 0) -> Any:
    """Return a tree for JSON from which `undata` makes the same value again, tuples included.

    Raises:
        UnserializableMessage: for what is not made of str, int, float, bool, None, date, datetime, list, tuple and dict.
    """
    if value is None or type(value) in (str, bool):
        return value
    if depth > MAX_DEPTH:
        raise UnserializableMessage(f"{where} is nested deeper than {MAX_DEPTH} levels, or contains itself")
    kind = type(value)
    if isinstance(value, int | float):
        return number(value, where)
    if kind is list:
        return [data(item, f"{where}[{place}]", depth + 1) for place, item in enumerate(value)]  # type: ignore[arg-type,var-annotated]
    if kind is tuple:
        return {_TAG: [data(item, f"{where}[{place}]", depth + 1) for place, item in enumerate(value)]}  # type: ignore[arg-type,var-annotated]
    if isinstance(value, _DICTS) and kind in _DICTS:
        return _dict_data(value, where, depth)
    return _other_data(value, where)


def _dict_data(value: Mapping[Any, Any], where: str, depth: int) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for place, (key, item) in enumerate(value.items()):
        name = key if type(key) is str else _key(key, where, place)
        if name in tree:
            raise UnserializableMessage(f"{where} has two keys that are one and the same str; expected different ones")
        tree[name] = data(item, at_key(where, key, place), depth + 1)
    return {_TAG: tree} if _TAG in tree else tree


def _other_data(value: object, where: str) -> Any:
    if isinstance(value, date) and type(value) in (date, datetime):
        # anymail's `send_at`. A time zone comes back as its offset: the same moment.
        return {_TAG: value.isoformat()}
    if isinstance(value, str) or is_lazy(value):
        return text(value, where)
    refuse(
        where,
        value,
        "str, int, float, bool, None, date, datetime, or list, tuple or dict of these; convert it first, with str() for instance",
    )


def undata(tree: Any) -> Any:
    """Return the value that `data` was given."""
    if isinstance(tree, list):
        return [undata(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if _TAG in tree:
        inner = tree[_TAG]
        if len(tree) != 1:
            raise CodecError("the mail is malformed: a tag with something beside it")
        if isinstance(inner, list):
            return tuple(undata(item) for item in inner)
        if isinstance(inner, str):
            return datetime.fromisoformat(inner) if "T" in inner else date.fromisoformat(inner)
        if not isinstance(inner, dict):
            raise CodecError("the mail is malformed: an unknown tag")
        tree = inner
    return {key: undata(item) for key, item in tree.items()}


def charset(value: object, where: str) -> Any:
    """Return a tree for an encoding: None, a charset's name, or an `email.charset.Charset` with all that it was told.

    Raises:
        UnserializableMessage: for anything else, subclasses of `Charset` included.
    """
    if value is None or type(value) is str:
        return value
    if not isinstance(value, Charset):
        return text(value, where)
    told = vars(value)
    if type(value) is not Charset or set(told) != set(_CHARSET_FIELDS):
        refuse(where, value, "a charset's name or a plain email.charset.Charset")
    for name in _CHARSET_FIELDS:
        if told[name] is not None and type(told[name]) not in (str, int):
            refuse(f"{where}.{name}", told[name], "a str, int or None")
    return [told[name] for name in _CHARSET_FIELDS]


def uncharset(tree: Any) -> str | Charset | None:
    """Return the encoding that `charset` was given; a `Charset` is the same whatever is registered in this process."""
    if tree is None or isinstance(tree, str):
        return tree
    if not isinstance(tree, list) or len(tree) != len(_CHARSET_FIELDS):
        raise CodecError("the mail is malformed: its encoding is no charset")
    if any(field is not None and type(field) not in (str, int) for field in tree):
        raise CodecError("the mail is malformed: its encoding is no charset")
    made = Charset()
    vars(made).update(zip(_CHARSET_FIELDS, tree, strict=True))
    return made


def unencodable(tree: Any, where: str = "") -> str | None:
    """Return the place of the first string that UTF-8 cannot encode (a lone surrogate), or None."""
    if isinstance(tree, str):
        try:
            tree.encode()
        except UnicodeEncodeError:
            return where
        return None
    found: str | None = None
    if isinstance(tree, Mapping):
        for place, (key, item) in enumerate(tree.items()):
            inside = at_key(where, key, place) if where else str(key)
            found = found or unencodable(key, f"a key of {where}") or unencodable(item, inside)
    elif isinstance(tree, list):
        for place, item in enumerate(tree):
            found = found or unencodable(item, f"{where}[{place}]")
    return found


def _key(key: object, where: str, place: int) -> str:
    if isinstance(key, str) or is_lazy(key):
        return text(key, f"key {place} of {where}")
    refuse(f"key {place} of {where}", key, "a str; JSON has no other keys")


def _printed(value: object, where: str) -> str:
    try:
        return "".join((str(value),))  # exactly str: a lazy string may print as a subclass
    except Exception as error:
        raise UnserializableMessage(f"{where} of type {type(value).__name__} cannot be turned into a str") from error


def is_text(value: object) -> bool:
    """Tell a string or lazy string from what merely has a text form."""
    return issubclass(type(value), str) or is_lazy(value)


def is_lazy(value: object) -> bool:
    """Tell a lazy string from what merely has a text form (a date, a UUID): it has a str's methods, whoever made it."""
    return hasattr(value, "casefold")
