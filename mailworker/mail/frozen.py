"""Freezes a message whose class changes how it is rendered or to whom it goes: its bytes and recipients travel.

The class itself is never carried (that would be pickle's job, and its danger). So the override runs once, in the caller,
and what it made is what every attempt sends. Decided here: what counts as an override, and how a frozen message behaves
when a backend asks it for `message()` and `recipients()`. An exception from the override leaves through the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from email import policy as policies
from email.generator import BytesGenerator
from email.message import Message
from email.parser import BytesParser
from io import BytesIO
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple

from mailworker.errors import UnserializableMessage
from mailworker.mail.message import EmailMessage, EmailMultiAlternatives
from mailworker.mail.render import flatten
from mailworker.mail.value import printed

if TYPE_CHECKING:
    _Mime = Message[str, str]
else:
    _Mime = Message

#: Where the classes are defined that render as `mail.render` does; Django's are known by name, for it is not imported.
_BASE_MODULES = frozenset(("mailworker.mail.message", "django.core.mail.message"))
_BASE_NAMES = frozenset(("EmailMessage", "EmailMultiAlternatives"))

#: The same functions for as long as nobody has patched our own classes: the fast way out for nearly every message.
_OWN = {
    EmailMessage: (EmailMessage.message, EmailMessage.recipients),
    EmailMultiAlternatives: (EmailMultiAlternatives.message, EmailMultiAlternatives.recipients),
}

_CRLF = "\r\n"

#: Private to the known classes and without a say in what is rendered.
_HARMLESS = frozenset(name for name in dir(object) if name.startswith("__")) | {
    "__copy__",
    "__deepcopy__",
    "__getstate__",
    "__init__",
}


class Frozen(NamedTuple):
    """What a frozen message is.

    Attributes:
        content: its bytes as an SMTP backend gets them: CRLF line ends, unless the class insists on others.
        recipients: what `recipients()` returned.
        left_behind: attributes that were not carried -> their type's name.
    """

    content: bytes
    recipients: tuple[str, ...]
    left_behind: Mapping[str, str]


def is_base(kind: type) -> bool:
    """True for the classes of ours and of Django's whose rendering is known."""
    return kind.__name__ in _BASE_NAMES and kind.__module__ in _BASE_MODULES


def is_email(value: object) -> bool:
    """True for what can be sent: an `EmailMessage` of ours or Django's, or what behaves like one."""
    return callable(getattr(value, "message", None)) and callable(getattr(value, "recipients", None))


def override_of(message: object) -> str | None:
    """Return the name of what the message's class, or the message itself, does otherwise than the known classes.

    That is `message`, `recipients` or one of the underscored methods that build a message's parts. A function that was
    patched in, or wrapped by an instrumentation, counts too.

    Returns:
        The name; None if the message renders and addresses itself as the known classes do.
    """
    kind = type(message)
    if _OWN.get(kind) == (getattr(kind, "message", None), getattr(kind, "recipients", None)):
        own = vars(message)
        return "message" if "message" in own else "recipients" if "recipients" in own else None
    bases = [base for base in kind.__mro__ if is_base(base)]
    if not bases:
        return "message"
    hooks = {"message", "recipients"}
    for base in bases:
        hooks.update(name for name in vars(base) if name.startswith("_") and isinstance(vars(base)[name], FunctionType))
    for name in sorted(hooks - _HARMLESS):
        if name in getattr(message, "__dict__", ()) or not _is_genuine(kind, name):
            return name
    return None


def _is_genuine(kind: type, name: str) -> bool:
    for owner in kind.__mro__:
        if name in vars(owner):
            found = vars(owner)[name]
            return (
                is_base(owner)
                and isinstance(found, FunctionType)
                and found.__module__ == owner.__module__
                and not hasattr(found, "__wrapped__")
            )
    return True


def freeze(message: Any) -> Frozen:
    """Render a message and ask it for its recipients, once.

    Raises:
        UnserializableMessage: if `message()` returns nothing that can be rendered.
    """
    mime = message.message()
    if not hasattr(mime, "as_bytes"):
        raise UnserializableMessage(
            f"message() of class {type(message).__name__} returned type {type(mime).__name__}, which cannot be carried "
            "in the queue; expected an email.message.Message"
        )
    recipients = [printed(address, f"recipients()[{place}]") for place, address in enumerate(message.recipients())]
    return Frozen(flatten(mime, _CRLF), tuple(recipients), dict(getattr(message, "left_behind", ())))


class FrozenMIME(_Mime):
    """What `FrozenMessage.message()` returns: the frozen bytes, which behave as a parsed message when looked into.

    As long as nobody changes it, `as_bytes()` is byte for byte what was frozen. A backend that does change it (drops a
    header, adds one) gets the changed message.
    """

    def __init__(self, content: bytes) -> None:
        # The parent's state is made by parsing, when somebody first asks for it: most backends only want the bytes.
        self._content = content

    def __getattr__(self, name: str) -> Any:
        if name not in _PARSED or not self._parse():
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self.__dict__[name]

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _PARSED:
            self._parse()
        super().__setattr__(name, value)

    def _parse(self) -> bool:
        """Take on the state of the parsed message; False if that was done before, or there is nothing to parse yet."""
        if "_pristine" in self.__dict__ or "_content" not in self.__dict__:
            return False
        # With the line ends that a message has before it is rendered, so that its payloads read the same.
        parsed = BytesParser(policy=policies.compat32).parsebytes(self._content.replace(b"\r\n", b"\n"))
        self.__dict__.update(vars(parsed), _pristine=_generated(parsed))
        return True

    def as_bytes(self, unixfrom: bool = False, policy: Any = None, linesep: str | None = None) -> bytes:
        """Return the message as bytes.

        Args:
            unixfrom: put the mbox format's `From ` line before it.
            policy: only its `linesep` counts; Django's signature has the line end in this place.
            linesep: the line end to write, "\\n" if nothing says otherwise.
        """
        if linesep is None:
            linesep = policy if isinstance(policy, str) else str(getattr(policy, "linesep", "\n"))
        content = self._content
        if "_pristine" in self.__dict__ and self._pristine != (now := _generated(self)):
            content = now
        if linesep != _CRLF:
            content = content.replace(_CRLF.encode(), linesep.encode())
        if unixfrom:
            content = f"{self.get_unixfrom() or 'From nobody'}{linesep}".encode() + content
        return content

    def as_string(self, unixfrom: bool = False, maxheaderlen: int = 0, policy: Any = None, linesep: str = "\n") -> str:
        """Return the same as text; bytes that are no UTF-8 become lone surrogates."""
        return self.as_bytes(unixfrom, policy, linesep).decode("utf-8", "surrogateescape")

    def __bytes__(self) -> bytes:
        return self.as_bytes()

    def __str__(self) -> str:
        return self.as_string()


_PARSED = frozenset(vars(Message()))


def _generated(mime: _Mime) -> bytes:
    """Return what the tree holds now, past `as_bytes`."""
    written = BytesIO()
    BytesGenerator(written, mangle_from_=False).flatten(mime, linesep=_CRLF)
    return written.getvalue()


class FrozenMessage(EmailMultiAlternatives):
    """A decoded message whose bytes and recipients were fixed when it was queued.

    Its fields are there to be read: by backends that take a message apart instead of rendering it.
    """

    _frozen_mail: Frozen = Frozen(b"", (), {})

    def __init__(self, frozen: Frozen, from_email: Any = None) -> None:
        super().__init__(from_email=from_email)
        self._frozen_mail = frozen

    @property
    def left_behind(self) -> Mapping[str, str]:
        """Attributes of the original that were not carried -> their type's name."""
        return self._frozen_mail.left_behind

    def message(self) -> Message:
        """Return the frozen bytes as a MIME tree of their own: changes to it stay with the caller."""
        return FrozenMIME(self._frozen_mail.content)

    def recipients(self) -> list[str]:
        """Return the frozen recipients, or those that `restrict_to` has left."""
        restricted = self._restricted_to
        return list(self._frozen_mail.recipients if restricted is None else restricted)

    def __getattr__(self, name: str) -> Any:
        kind = self.__dict__["_frozen_mail"].left_behind.get(name) if "_frozen_mail" in self.__dict__ else None
        if kind is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise AttributeError(f"attribute {name!r} of type {kind} stayed behind when the message was frozen and queued")
