"""A message's fields as a tree for JSON, and back: every one that an `EmailMessage` has.

Works on messages of ours and of Django's alike, by their attributes. Large and binary content goes to blobs; what hangs
on a message besides its fields is `mail.extra`'s. What cannot be carried faithfully raises `UnserializableMessage` with
the field's name and the place in it. A tree that is none of ours raises `CodecError`; what it holds is checked, field by
field, for it may come from anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from email.message import Message
from typing import Any

from mailworker.errors import CodecError, UnserializableMessage
from mailworker.mail.attachment import EmailAlternative, EmailAttachment
from mailworker.mail.extra import is_reserved, write_extra
from mailworker.mail.frozen import Frozen, FrozenMessage, freeze, is_base, is_email, override_of
from mailworker.mail.identity import freeze_identity
from mailworker.mail.lent import settled, text_of
from mailworker.mail.message import EmailMessage, EmailMultiAlternatives
from mailworker.mail.part import BlobReader, BlobWriter, read_part, write_part
from mailworker.mail.payload import BLOB_THRESHOLD
from mailworker.mail.value import MAX_DEPTH, at_key, charset, printed, refuse, scalar, text, uncharset, undata

#: Attribute -> what it is when nobody sets it; such ones are left out.
_SUBTYPES = {"content_subtype": "plain", "mixed_subtype": "mixed", "alternative_subtype": "alternative"}
_LISTS = ("to", "cc", "bcc", "reply_to")
_PLAIN = ("subject", "body")
_REQUIRED = frozenset((*_PLAIN, "from_email"))
_OPTIONAL = ("headers", "attachments", "alternatives", "encoding", "mail_id", "restricted_to", "extra", "frozen")
_KEYS = _REQUIRED.union(_LISTS, _SUBTYPES, _OPTIONAL)


def write_fields(message: Any, blobs: BlobWriter) -> dict[str, Any]:
    """Return a tree for JSON from which `read_fields` makes the same message again.

    Fixes the message's Message-ID and Date on the message itself, so that each further call gives the same ones.

    Args:
        message: an `EmailMessage` of ours or Django's, a subclass, or an object with the same attributes and methods.
        blobs: takes large and binary content.

    Raises:
        UnserializableMessage: if something of it cannot be carried.
    """
    if not is_email(message):
        raise UnserializableMessage(
            f"cannot queue an object of type {type(message).__name__}; expected an EmailMessage"
        )
    missing = [
        name for name in (*_PLAIN, "from_email", "to", "extra_headers", "attachments") if not hasattr(message, name)
    ]
    if missing:
        raise UnserializableMessage(
            f"the {type(message).__name__} has no attribute {missing[0]!r}; expected an EmailMessage"
        )
    _fix_identity(message, "")
    frozen = freeze(message) if override_of(message) else None  # before its fields are read: the override may set them
    tree = _write_simple(message)
    if isinstance(tree["body"], str) and len(tree["body"]) > BLOB_THRESHOLD:
        tree["body"] = _write_content(tree["body"], blobs, "body")
    alternatives = getattr(message, "alternatives", None)
    if alternatives or _has_alternatives(message):
        tree["alternatives"] = _write_alternatives(alternatives, blobs)
    if message.attachments:
        tree["attachments"] = _write_attachments(message.attachments, blobs)
    extra, left = write_extra(message, is_frozen=frozen is not None)
    if extra:
        tree["extra"] = extra
    if frozen is not None:
        tree["frozen"] = {
            "content": _write_content(frozen.content, blobs, "message()"),
            "recipients": list(frozen.recipients),
            "left_behind": {**frozen.left_behind, **left},
        }
    return tree


def read_fields(tree: Any, blobs: BlobReader) -> EmailMessage:
    """Return the message that `write_fields` was given.

    Raises:
        CodecError: if the tree is not of that shape.
    """
    # In a worker's way for each mail: what is a plain text, as nearly everything is, is taken without a further call.
    _expect(isinstance(tree, dict) and tree.keys() >= _REQUIRED and tree.keys() <= _KEYS, "the fields of a message")
    message = _made(tree, blobs)
    message.subject = _read_scalar(tree["subject"], "subject")
    body = tree["body"]
    message.body = _read_content(body, blobs) if isinstance(body, dict) else _read_scalar(body, "body")
    message.from_email = _read_address(tree["from_email"], "from_email")
    for name in _LISTS:
        if name in tree:
            setattr(message, name, [_read_address(item, name) for item in _read_list(tree[name], name)])
    headers = _read_dict(tree.get("headers", {}), "headers")
    if not _are_texts(headers.values()):
        headers = {name: _read_scalar(value, "headers") for name, value in headers.items()}
    message.extra_headers = headers
    for name in (*_SUBTYPES, "mail_id"):
        if name in tree:
            setattr(message, name, _read_text(tree[name], name))
    if "encoding" in tree:
        message.encoding = uncharset(tree["encoding"])
    if "restricted_to" in tree:
        message.restrict_to(_read_texts(tree["restricted_to"], "restricted_to"))
    if "attachments" in tree:
        entries = _read_list(tree["attachments"], "attachments")
        message.attachments = [_read_attachment(entry, blobs) for entry in entries]
    if "extra" in tree:
        _read_extra(tree["extra"], message)
    return settled(message) if blobs else message


def _read_extra(tree: Any, message: EmailMessage) -> None:
    for name, value in _read_dict(tree, "extra").items():
        _expect(not is_reserved(name), "extra attributes that are no fields")
        setattr(message, name, undata(value))


def _write_simple(message: Any) -> dict[str, Any]:
    """Return the fields that need no blobs; what is empty, or as nobody has set it, is left out."""
    tree: dict[str, Any] = {name: scalar(getattr(message, name), name) for name in _PLAIN}
    tree["from_email"] = _write_address(message.from_email, "from_email")
    for name in _LISTS:
        addresses = _write_addresses(getattr(message, name, None), name)
        if addresses:
            tree[name] = addresses
    headers = _write_headers(message.extra_headers)
    if headers:
        tree["headers"] = headers
    for name, default in _SUBTYPES.items():
        subtype = getattr(message, name, default)
        if subtype != default:
            tree[name] = text(subtype, name)
    encoding = getattr(message, "encoding", None)
    if encoding is not None:
        tree["encoding"] = charset(encoding, "encoding")
    mail_id = getattr(message, "mail_id", None)
    if mail_id is not None:
        tree["mail_id"] = text(mail_id, "mail_id")
    restricted = getattr(message, "_restricted_to", None)
    if restricted is not None:
        tree["restricted_to"] = [text(address, "restrict_to()") for address in restricted]
    return tree


def _fix_identity(message: Any, where: str, depth: int = 0) -> None:
    """Fix Message-ID and Date of a message and of those inside it, before anything of it is rendered."""
    if depth > MAX_DEPTH:
        raise UnserializableMessage(f"{where} is nested deeper than {MAX_DEPTH} messages, or contains itself")
    headers = getattr(message, "extra_headers", None)
    # One that invents what is missing (a defaultdict) answers a backend otherwise than its copy would.
    if not isinstance(headers, Mapping) or hasattr(type(headers), "__missing__"):
        refuse(f"{where}extra_headers", headers, "a dict")
    freeze_identity(message)
    for field in ("attachments", "alternatives"):
        entries = getattr(message, field, None)
        for place, entry in enumerate(entries if isinstance(entries, list | tuple) else ()):
            for content in entry if isinstance(entry, list | tuple) else ():
                if is_email(content):
                    _fix_identity(content, f"{where}{field}[{place}].content.", depth + 1)


def _made(tree: dict[str, Any], blobs: BlobReader) -> EmailMessage:
    """Return a message of the right class, as yet without its fields."""
    sender = "-"  # anything but None, which asks the settings for a default
    message: EmailMessage
    if "frozen" in tree:
        message = FrozenMessage(_read_frozen(tree["frozen"], blobs), sender)
    elif "alternatives" in tree:
        message = EmailMultiAlternatives(from_email=sender)
    else:
        return EmailMessage(from_email=sender)
    pairs = _read_list(tree.get("alternatives", []), "alternatives")
    message.alternatives = [_read_alternative(pair, blobs) for pair in pairs]
    return message


def _has_alternatives(message: object) -> bool:
    return any(is_base(kind) and kind.__name__ == "EmailMultiAlternatives" for kind in type(message).__mro__)


def _write_address(value: object, where: str) -> Any:
    if type(value) is str or value is None:
        return value  # blank ones are dropped by recipients(), not here
    if type(value) is tuple and len(value) == 2:
        return [text(part, where) for part in value]
    return printed(value, where)


def _write_addresses(value: object, where: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        refuse(where, value, "a list or tuple of addresses")
    return [
        item if type(item) is str else _write_address(item, f"{where}[{place}]") for place, item in enumerate(value)
    ]


def _write_headers(value: Mapping[Any, Any]) -> dict[str, Any]:
    headers: dict[str, Any] = {}
    for place, (name, item) in enumerate(value.items()):
        key = name if type(name) is str else text(name, f"name {place} in extra_headers")
        headers[key] = item if type(item) is str else scalar(item, at_key("extra_headers", key, place))
    if len(headers) != len(value):
        raise UnserializableMessage(
            "extra_headers has two names that are one and the same str; expected different ones"
        )
    return headers


def _write_content(content: object, blobs: BlobWriter, where: str) -> Any:
    if isinstance(content, bytes):
        return {"bytes": blobs.add(content)}
    if isinstance(content, bytearray | memoryview):
        return {"bytes": blobs.add(bytes(content))}
    if isinstance(content, Message):
        return {"part": write_part(content, blobs, where)}
    if is_email(content):
        mime = content.message()  # type: ignore[attr-defined]
        if not isinstance(mime, Message):
            refuse(f"{where}.message()", mime, "an email.message.Message")
        return {"part": write_part(mime, blobs, where)}
    plain = text(content, where)
    if len(plain) <= BLOB_THRESHOLD:
        return plain
    try:
        return {"text": blobs.add(plain.encode())}
    except UnicodeEncodeError:
        raise lone_surrogate(where) from None


def lone_surrogate(where: str) -> UnserializableMessage:
    """Return the error for a text that UTF-8 cannot encode."""
    return UnserializableMessage(
        f"{where} holds a lone surrogate, which is no character and cannot be encoded; "
        "expected text: decode its source with the charset that it is in"
    )


def _write_alternatives(value: object, blobs: BlobWriter) -> list[Any]:
    if not isinstance(value, list | tuple):
        refuse("alternatives", value, "a list of EmailAlternative(content, mimetype)")
    written = []
    for place, entry in enumerate(value):
        where = f"alternatives[{place}]"
        if not isinstance(entry, list | tuple) or len(entry) != 2:
            refuse(where, entry, "an EmailAlternative(content, mimetype)")
        written.append([_write_content(entry[0], blobs, f"{where}.content"), text(entry[1], f"{where}.mimetype")])
    return written


def _write_attachments(value: object, blobs: BlobWriter) -> list[Any]:
    if not isinstance(value, list | tuple):
        refuse("attachments", value, "a list of EmailAttachment(filename, content, mimetype)")
    written: list[Any] = []
    for place, entry in enumerate(value):
        where = f"attachments[{place}]"
        if isinstance(entry, Message):
            written.append({"part": write_part(entry, blobs, where)})
            continue
        if not isinstance(entry, list | tuple) or len(entry) not in (2, 3):
            refuse(where, entry, "an EmailAttachment(filename, content, mimetype) or a MIMEBase")
        filename, content = entry[:2]
        mimetype = entry[2] if len(entry) == 3 else None
        written.append(
            [
                None if filename is None else printed(filename, f"{where}.filename"),
                _write_content(content, blobs, f"{where}.content"),
                None if mimetype is None else text(mimetype, f"{where}.mimetype"),
            ]
        )
    return written


def _expect(holds: bool, what: str) -> None:
    if not holds:
        raise CodecError(f"the mail is malformed: expected {what}")


def _are_texts(trees: Iterable[Any]) -> bool:
    return set(map(type, trees)) <= _TEXT


_TEXT = frozenset((str,))


def _read_scalar(tree: Any, where: str) -> Any:
    if type(tree) is str:
        return tree
    _expect(tree is None or type(tree) in (str, int, float, bool), f"a text or number in {where}")
    return tree


def _read_text(tree: Any, where: str) -> str:
    _expect(isinstance(tree, str), f"a text as {where}")
    return tree  # type: ignore[no-any-return]


def _read_list(tree: Any, where: str) -> list[Any]:
    if not isinstance(tree, list):
        raise CodecError(f"the mail is malformed: expected a list as {where}")
    return tree


def _read_texts(tree: Any, where: str) -> list[str]:
    return [_read_text(item, where) for item in _read_list(tree, where)]


def _read_dict(tree: Any, where: str) -> dict[str, Any]:
    _expect(isinstance(tree, dict), f"an object as {where}")
    return tree  # type: ignore[no-any-return]


def _read_address(tree: Any, where: str) -> Any:
    if type(tree) is str:
        return tree
    if isinstance(tree, list):
        _expect(len(tree) == 2, f"addresses in {where}")
        return tuple(_read_texts(tree, where))
    return _read_scalar(tree, where)


def _read_content(tree: Any, blobs: BlobReader) -> Any:
    if isinstance(tree, str):
        return tree
    _expect(isinstance(tree, dict) and len(tree) == 1, "content")
    ((form, place),) = tree.items()
    if form == "part":
        return read_part(place, blobs)
    _expect(form in ("bytes", "text"), "content")
    content = blobs.take(place)
    return bytes(content) if form == "bytes" else text_of(content)


def _read_alternative(tree: Any, blobs: BlobReader) -> EmailAlternative:
    _expect(isinstance(tree, list) and len(tree) == 2 and isinstance(tree[1], str), "alternatives")
    return EmailAlternative(_read_content(tree[0], blobs), tree[1])


def _read_attachment(tree: Any, blobs: BlobReader) -> Any:
    if isinstance(tree, dict):
        _expect(tree.keys() == {"part"}, "attachments")
        return read_part(tree["part"], blobs)
    _expect(isinstance(tree, list) and len(tree) == 3, "attachments")
    filename, content, mimetype = tree
    _expect(all(name is None or isinstance(name, str) for name in (filename, mimetype)), "attachments")
    return EmailAttachment(filename, _read_content(content, blobs), mimetype)


def _read_frozen(tree: Any, blobs: BlobReader) -> Frozen:
    _expect(isinstance(tree, dict) and tree.keys() == {"content", "recipients", "left_behind"}, "a frozen message")
    content = _read_content(tree["content"], blobs)
    _expect(isinstance(content, bytes), "a frozen message's bytes")
    left = _read_dict(tree["left_behind"], "left_behind")
    recipients = tuple(_read_texts(tree["recipients"], "recipients"))
    return Frozen(content, recipients, {name: _read_text(kind, "left_behind") for name, kind in left.items()})
