"""What users and libraries hang on a message beyond the fields that an `EmailMessage` has: anymail's `tags` for instance.

Found on the message itself and on subclasses, since the class is not carried. Not carried: `connection` (the worker has
its own), `outcomes`, `queue_options` and anymail's `anymail_status` (notes about sending), and code (methods, properties,
private names of a class). Whatever else is not JSON-able raises `UnserializableMessage` with its name, unless the message
is frozen: then it has done its work already, and the decoded message says so when it is asked for it.
"""

from __future__ import annotations

import logging
import re
from types import MemberDescriptorType, ModuleType
from typing import Any

from mailworker.errors import UnserializableMessage
from mailworker.mail.frozen import FrozenMessage, is_base
from mailworker.mail.value import data

#: Carried as fields of their own by `mail.fields`.
_CARRIED = frozenset(
    (
        "subject",
        "body",
        "from_email",
        "to",
        "cc",
        "bcc",
        "reply_to",
        "content_subtype",
        "mixed_subtype",
        "alternative_subtype",
        "extra_headers",
        "attachments",
        "alternatives",
        "encoding",
        "mail_id",
        "_restricted_to",
    )
)
#: Notes about sending, and what belongs to this process.
_NOT_CARRIED = frozenset(
    (
        "_unsure_id",
        "relay_login",
        "connection",
        "_connection",
        "outcomes",
        "queue_options",
        "anymail_status",
        "_frozen_mail",
    )
)

#: What backends for sending services read off a message (anymail's documented names). Carried from wherever the class
#: has them, properties included; on a frozen message too they are refused rather than left behind.
_ESP = (
    "envelope_sender",
    "esp_extra",
    "merge_data",
    "merge_global_data",
    "merge_header_data",
    "merge_headers",
    "merge_metadata",
    "metadata",
    "send_at",
    "tags",
    "template_id",
    "track_clicks",
    "track_opens",
)

#: Values on a class that belong to its code, not to the message.
_CODE = (type, ModuleType, logging.Logger, logging.LoggerAdapter, re.Pattern)

_OVERRIDES = ("message", "recipients")
_MISSING: Any = object()


def write_extra(message: object, *, is_frozen: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the attributes that are no fields.

    Args:
        message: the message.
        is_frozen: leave behind what cannot be carried.

    Returns:
        Name -> tree of `value.data`, and of those left behind name -> type's name.

    Raises:
        UnserializableMessage: if one cannot be carried.
    """
    found = _class_attributes(message) if not is_base(type(message)) else {}
    found.update(getattr(message, "__dict__", ()))
    extra: dict[str, Any] = {}
    left: dict[str, str] = {}
    for name, value in found.items():
        if name in _CARRIED or name in _NOT_CARRIED or _is_unset(value) or (is_frozen and name in _OVERRIDES):
            continue
        try:
            extra[name] = _write_attribute(name, value)
        except UnserializableMessage:
            # What a class renders from (a context, a user) has done its work once it is rendered.
            if not is_frozen or name in _ESP:
                raise
            left[name] = type(value).__name__
    return extra, left


def _write_attribute(name: str, value: object) -> Any:
    written = data(value, f"attribute {name!r}")
    if is_reserved(name):
        raise UnserializableMessage(
            f"attribute {name!r} has the name of a method of EmailMessage; expected another name"
        )
    return written


def _class_attributes(message: object) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind in reversed(type(message).__mro__):
        if kind is object or is_base(kind):
            continue
        for name, value in vars(kind).items():
            if isinstance(value, MemberDescriptorType) or (name in _ESP and hasattr(type(value), "__get__")):
                value = getattr(message, name, _MISSING)  # noqa: PLW2901 - a slot, or a property that a backend would read
                if value is not _MISSING:
                    found[name] = value
            elif not (name.startswith("_") or hasattr(type(value), "__get__") or isinstance(value, _CODE)):
                found[name] = value
    return found


def _is_unset(value: object) -> bool:
    """True for anymail's mark of an attribute that was not given."""
    return isinstance(value, type) and value.__name__ == "UNSET"


def is_reserved(name: str) -> bool:
    """True for a name that a message needs for itself: set as an extra attribute it would break the message."""
    return name in _CARRIED or name in _NOT_CARRIED or name.startswith("__") or hasattr(FrozenMessage, name)
