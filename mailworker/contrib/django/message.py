"""The message that a backend of Django's kind gets in a worker: Django's own class, made of what was decoded.

Such backends ask for Django's classes, call `message(policy=...)` (6.0) or read the fields. Our own backends need none of
that and get the decoded message. What was queued arrives whole: Message-ID and Date as they were fixed, the attributes that
anymail reads, and of a second try only the recipients that are left.
"""

from __future__ import annotations

from email.message import Message
from typing import Any

from django.core import mail
from django.core.mail.message import EmailAlternative, EmailAttachment

from mailworker.mail.address import envelope_addresses
from mailworker.mail.backends.base import BaseEmailBackend
from mailworker.mail.frozen import Frozen, FrozenMessage, FrozenMIME
from mailworker.mail.message import EmailMessage

#: Fields of the message itself; what else stands on it is carried over as it is, but for our own notes.
_LISTS = ("to", "cc", "bcc", "reply_to")
_NOT_CARRIED = frozenset(
    (
        *("subject", "body", "from_email", *_LISTS, "extra_headers", "attachments", "alternatives", "connection"),
        *("relay_login", "outcomes", "queue_options", "_unsure_id", "_restricted_to", "_frozen_mail"),
    )
)


def lent(backend: Any, message: EmailMessage) -> Any:
    """Return a message as a backend expects it.

    Args:
        backend: any that is asked for one message at a time.
        message: a decoded one.
    """
    if isinstance(backend, BaseEmailBackend):
        return message
    # anymail reads the lists themselves, where smtp backends ask for `recipients()` and show the lists.
    return django_message(message, is_list_read=hasattr(backend, "esp_name"))


def django_message(message: EmailMessage, *, is_list_read: bool = False) -> Any:
    """Return Django's message with everything that a decoded one has.

    Args:
        message: the decoded one.
        is_list_read: leave in `to`, `cc` and `bcc` only who is to get it this time.
    """
    alternatives = getattr(message, "alternatives", None)
    restricted = message._restricted_to  # noqa: SLF001 - the codec's own field
    made: Any
    if isinstance(message, FrozenMessage):
        made = FrozenDjangoMessage(message._frozen_mail)  # noqa: SLF001 - the codec's own field
    elif alternatives is None:
        made = mail.EmailMessage() if restricted is None else RestrictedMessage()
    else:
        made = mail.EmailMultiAlternatives() if restricted is None else RestrictedAlternatives()
    made.subject, made.body, made.from_email = message.subject, message.body, message.from_email
    for name in _LISTS:
        setattr(made, name, list(getattr(message, name)))
    made.extra_headers = dict(message.extra_headers)
    made.attachments = [each if isinstance(each, Message) else EmailAttachment(*each) for each in message.attachments]
    if alternatives is not None:
        made.alternatives = [EmailAlternative(*each) for each in alternatives]
    for name, value in vars(message).items():
        if name not in _NOT_CARRIED and not name.startswith("__"):
            setattr(made, name, value)
    if restricted is not None:
        made.restricted_to = list(restricted)
        if is_list_read:
            _leave_in_lists(made, restricted)
    return made


def _leave_in_lists(made: Any, addresses: tuple[str, ...]) -> None:
    left = set(addresses)
    for name in ("to", "cc", "bcc"):
        setattr(made, name, [each for each in getattr(made, name) if left.intersection(envelope_addresses(each))])


class _Restricted:
    """A message of which not everybody in its headers is a recipient any more."""

    restricted_to: list[str] | None = None

    def recipients(self) -> list[str]:
        """Return who is left, or whom the message names if all are."""
        if self.restricted_to is not None:
            return list(self.restricted_to)
        named: list[str] = super().recipients()  # type: ignore[misc]  # of Django's class beside it
        return named


class RestrictedMessage(_Restricted, mail.EmailMessage):  # type: ignore[misc]  # Django has no types
    """Django's message for a second try."""


class RestrictedAlternatives(_Restricted, mail.EmailMultiAlternatives):  # type: ignore[misc]  # the same
    """The same with alternatives."""


class FrozenDjangoMessage(RestrictedAlternatives):
    """Django's message of a class that renders itself: its bytes and recipients were fixed when it was queued."""

    def __init__(self, frozen: Frozen) -> None:
        super().__init__()
        self._frozen = frozen

    def recipients(self) -> list[str]:
        """Return the frozen recipients, or those that are left."""
        return list(self._frozen.recipients if self.restricted_to is None else self.restricted_to)

    def message(self, *, policy: Any = None) -> Message:
        """Return the frozen bytes.

        Args:
            policy: its line end is the one that the bytes get unless another is asked for.
        """
        return _FrozenMIME(self._frozen.content, getattr(policy, "linesep", None))


class _FrozenMIME(FrozenMIME):
    """Frozen bytes for a caller that names the line end beforehand, as Django does from 6.0 on."""

    def __init__(self, content: bytes, linesep: str | None) -> None:
        super().__init__(content)
        self._linesep = linesep

    def as_bytes(self, unixfrom: bool = False, policy: Any = None, linesep: str | None = None) -> bytes:
        """Return the message as bytes; see `FrozenMIME`."""
        return super().as_bytes(unixfrom, policy, linesep or (self._linesep if policy is None else None))
