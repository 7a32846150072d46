"""Carries a part of the standard library's `email` package: an attached `MIMEBase`, or a whole message inside another.

A part is taken apart into headers and payload and put together again, not rendered and parsed: so it renders to the same
bytes as the original, Content-ID, disposition, folding and 8-bit content included. Its class is not carried beyond the
kinds below. What a part has beyond them (attributes of its own, a class that changes how it is written) is refused with
`UnserializableMessage`; a tree that is no part raises `CodecError`.
"""

from __future__ import annotations

from email import policy as policies
from email.charset import Charset
from email.header import Header
from email.message import EmailMessage as ModernMessage
from email.message import Message, MIMEPart
from email.mime.base import MIMEBase
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any, Protocol, TypeAlias

from mailworker.errors import CodecError, UnserializableMessage
from mailworker.mail.mime import SafeMIMEMessage, SafeMIMEMultipart, SafeMIMEText
from mailworker.mail.value import MAX_DEPTH, charset, refuse, text, uncharset

AnyPart: TypeAlias = "Message[Any, Any]"

#: Characters. A longer payload becomes a blob: it is base64 more often than not, which deflate hardly shrinks.
INLINE_PAYLOAD = 4096

#: Kind in the tree -> class that is built from it.
_KINDS: dict[str, type[AnyPart]] = {
    "message": Message,
    "base": MIMEBase,
    "safe-text": SafeMIMEText,
    "safe-multipart": SafeMIMEMultipart,
    "safe-message": SafeMIMEMessage,
    "modern-part": MIMEPart,
    "modern": ModernMessage,
}

#: How the characters of a payload become a blob's bytes: the email package keeps 8-bit content as lone surrogates.
_CODECS = {"ascii": "surrogateescape", "utf-8": "surrogatepass"}

_STATE = frozenset(
    ("policy", "_headers", "_unixfrom", "_payload", "_charset", "preamble", "epilogue", "defects", "_default_type")
)
_HEADER_STATE = frozenset(("_charset", "_continuation_ws", "_chunks", "_maxlinelen", "_headerlen"))

#: What the generator reads a part through. A class of somebody else's that changes one of them cannot be carried.
_READ_THROUGH = frozenset(
    (
        "__getattribute__",
        "__getattr__",
        "__getitem__",
        "_write_headers",
        "get",
        "get_all",
        "get_boundary",
        "get_content_maintype",
        "get_content_subtype",
        "get_content_type",
        "get_param",
        "get_payload",
        "is_multipart",
        "items",
        "raw_items",
        "set_boundary",
        "set_param",
    )
)


class BlobWriter(Protocol):
    """Where content goes that is too large for the head."""

    def add(self, content: bytes) -> int:
        """Keep the content and return its place among the blobs."""
        ...


class BlobReader(Protocol):
    """Where it comes from again."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def take(self, place: object) -> bytes | bytearray | memoryview:
        """Return the content at a place.

        Raises:
            CodecError: if there is none.
        """
        ...


def write_part(part: AnyPart, blobs: BlobWriter, where: str, depth: int = 0) -> dict[str, Any]:
    """Return a tree for JSON from which `read_part` makes the same part again.

    Args:
        part: any message or part of the standard library's, or a subclass that does not change how it is written.
        blobs: takes large payloads.
        where: the part's place in the message, for errors.
        depth: how many parts are around it.

    Raises:
        UnserializableMessage: if something of it cannot be carried.
    """
    if depth > MAX_DEPTH:
        raise UnserializableMessage(f"{where} is nested deeper than {MAX_DEPTH} parts, or contains itself")
    _check_class(part, where)
    state = vars(part)
    tree: dict[str, Any] = {
        "kind": _kind(part),
        "headers": [_write_header(name, value, where) for name, value in state["_headers"]],
        "payload": _write_payload(state["_payload"], blobs, where, depth),
    }
    if state["_charset"] is not None:
        tree["charset"] = charset(state["_charset"], f"{where}.charset")
    if state["_default_type"] != "text/plain":
        tree["default_type"] = text(state["_default_type"], f"{where}.default_type")
    for name in ("preamble", "epilogue", "_unixfrom"):
        if state[name] is not None:
            tree[name.strip("_")] = _write_string(text(state[name], f"{where}.{name.strip('_')}"))
    if "encoding" in state:
        tree["encoding"] = charset(state["encoding"], f"{where}.encoding")
    return tree


def read_part(tree: Any, blobs: BlobReader, depth: int = 0) -> AnyPart:
    """Return the part that `write_part` was given.

    Raises:
        CodecError: if the tree is not of that shape.
    """
    if depth > MAX_DEPTH or not isinstance(tree, dict) or not _REQUIRED <= tree.keys() <= _ALLOWED:
        raise CodecError("the mail is malformed: a part without its fields")
    made = _KINDS.get(_string(tree["kind"]))
    if made is None:
        raise CodecError("the mail is malformed: a part of an unknown kind")
    policy: Any = policies.default if issubclass(made, MIMEPart) else policies.compat32
    part: AnyPart = made.__new__(made)
    Message.__init__(part, policy)
    headers = tree["headers"]
    if not isinstance(headers, list):
        raise CodecError("the mail is malformed: a part whose headers are no list")
    state = vars(part)
    state["_headers"] = [_read_header(pair, policy) for pair in headers]
    state["_payload"] = _read_payload(tree["payload"], blobs, depth)
    if "charset" in tree:
        state["_charset"] = uncharset(tree["charset"])
    if "default_type" in tree:
        state["_default_type"] = _string(tree["default_type"])
    for name in ("preamble", "epilogue", "unixfrom"):
        if name in tree:
            state["_unixfrom" if name == "unixfrom" else name] = _read_string(tree[name])
    if made.__name__.startswith("Safe"):
        state["encoding"] = uncharset(tree.get("encoding"))
    return part


_REQUIRED = frozenset(("kind", "headers", "payload"))
_ALLOWED = _REQUIRED | {"charset", "default_type", "preamble", "epilogue", "unixfrom", "encoding"}


def _check_class(part: AnyPart, where: str) -> None:
    for kind in type(part).__mro__:
        if kind is object or kind.__module__.startswith("email."):
            continue
        changed = sorted(_READ_THROUGH & vars(kind).keys())
        if changed:
            raise UnserializableMessage(
                f"{where} is of class {kind.__name__}, whose {changed[0]}() changes how it is written; "
                "expected a part of the email package: attach email.message_from_bytes(part.as_bytes()) in its place"
            )
    missing = _STATE - vars(part).keys()
    if missing:
        raise UnserializableMessage(f"{where} was never initialised: it lacks {min(missing)}")
    extra = vars(part).keys() - _STATE - {"encoding"}
    if extra:
        name = min(extra)
        refuse(f"{where}.{name}", vars(part)[name], "a part without attributes of its own; remove it")


def _kind(part: AnyPart) -> str:
    if isinstance(part, ModernMessage):
        return "modern"
    if isinstance(part, MIMEPart):
        return "modern-part"
    if type(part).as_bytes is not Message.as_bytes:  # as Safe classes do: "From " stays as it is
        for kind, name in ((MIMEText, "safe-text"), (MIMEMultipart, "safe-multipart"), (MIMEMessage, "safe-message")):
            if isinstance(part, kind):
                return name
    return "base" if isinstance(part, MIMEBase) else "message"


def _write_header(name: str, value: object, where: str) -> list[Any]:
    named = f"{where}.headers"
    if isinstance(value, Header):
        return [_write_string(text(name, named)), _write_rich_header(value, named)]
    pair: list[Any] = [_write_string(text(name, named)), _write_string(text(value, named))]
    # The modern policy folds a header that it made itself otherwise than one that it has parsed.
    return [*pair, True] if hasattr(value, "fold") else pair


def _read_header(tree: Any, policy: Any) -> tuple[str, Any]:
    if not isinstance(tree, list) or len(tree) not in (2, 3):
        raise CodecError("the mail is malformed: a part's header is no pair")
    name, value = _read_string(tree[0]), tree[1]
    if isinstance(value, dict) and "chunks" in value:
        return name, _read_rich_header(value)
    plain = _read_string(value)
    if len(tree) == 2 or policy is policies.compat32:
        return name, plain
    return name, policy.header_factory(name, plain)


def _write_rich_header(header: Header, where: str) -> dict[str, Any]:
    state = vars(header)
    if type(header) is not Header or set(state) != _HEADER_STATE:
        refuse(where, header, "a str or a plain email.header.Header")
    return {
        "charset": charset(state["_charset"], where),
        "ws": text(state["_continuation_ws"], where),
        "chunks": [[_write_string(text(chunk, where)), charset(told, where)] for chunk, told in state["_chunks"]],
        "maxlinelen": state["_maxlinelen"],
        "headerlen": state["_headerlen"],
    }


def _read_rich_header(tree: dict[str, Any]) -> Header:
    if tree.keys() != {"charset", "ws", "chunks", "maxlinelen", "headerlen"}:
        raise CodecError("the mail is malformed: a header without its fields")
    if type(tree["maxlinelen"]) is not int or type(tree["headerlen"]) is not int:
        raise CodecError("the mail is malformed: a header whose length is no number")
    chunks = tree["chunks"]
    if not isinstance(chunks, list) or any(not isinstance(pair, list) or len(pair) != 2 for pair in chunks):
        raise CodecError("the mail is malformed: a header whose chunks are no pairs")
    header = Header()
    vars(header).update(
        _charset=_charset(tree["charset"]),
        _continuation_ws=_string(tree["ws"]),
        _chunks=[(_read_string(chunk), _charset(told)) for chunk, told in chunks],
        _maxlinelen=tree["maxlinelen"],
        _headerlen=tree["headerlen"],
    )
    return header


def _write_payload(payload: object, blobs: BlobWriter, where: str, depth: int) -> Any:
    if payload is None:
        return None
    if isinstance(payload, list):
        parts: list[Any] = []
        for place, part in enumerate(payload):
            inside = f"{where}.parts[{place}]"
            if not isinstance(part, Message):
                refuse(inside, part, "an email.message.Message")
            parts.append(write_part(part, blobs, inside, depth + 1))
        return parts
    if not isinstance(payload, str):
        refuse(f"{where}.payload", payload, "a str or a list of parts; use set_payload() and an encoder")
    plain = text(payload, f"{where}.payload")
    if len(plain) <= INLINE_PAYLOAD:
        return _write_string(plain)
    try:
        return {"blob": blobs.add(plain.encode("ascii", "surrogateescape")), "codec": "ascii"}
    except UnicodeEncodeError:
        return {"blob": blobs.add(plain.encode("utf-8", "surrogatepass")), "codec": "utf-8"}


def _read_payload(tree: Any, blobs: BlobReader, depth: int) -> Any:
    if tree is None:
        return None
    if isinstance(tree, list):
        return [read_part(part, blobs, depth + 1) for part in tree]
    if isinstance(tree, dict) and tree.keys() == {"blob", "codec"}:
        codec = _string(tree["codec"])
        if codec not in _CODECS:
            raise CodecError("the mail is malformed: a payload in an unknown codec")
        return str(blobs.take(tree["blob"]), codec, _CODECS[codec])
    return _read_string(tree)


def _write_string(value: str) -> str | dict[str, str]:
    """Return a string for JSON; one with lone surrogates (raw 8-bit content) in a form of its own."""
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return {"raw": value.encode("utf-16-be", "surrogatepass").hex()}
    return value


def _read_string(tree: Any) -> str:
    if isinstance(tree, dict) and tree.keys() == {"raw"}:
        return bytes.fromhex(_string(tree["raw"])).decode("utf-16-be", "surrogatepass")
    return _string(tree)


def _string(tree: Any) -> str:
    if not isinstance(tree, str):
        raise CodecError("the mail is malformed: a part's field is no text")
    return tree


def _charset(tree: Any) -> Charset:
    made = uncharset(tree)
    if not isinstance(made, Charset):
        raise CodecError("the mail is malformed: a header's charset is none")
    return made
