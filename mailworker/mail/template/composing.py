"""Makes a message of what its templates render to."""

from __future__ import annotations

from collections.abc import Mapping
from email.message import Message
from typing import TYPE_CHECKING, Any, TypeVar

from mailworker.errors import TemplateError
from mailworker.mail.template.loading import load

if TYPE_CHECKING:
    from mailworker.mail.message import EmailMultiAlternatives, Fields

M = TypeVar("M", bound="EmailMultiAlternatives")


def composed(
    kind: type[M],
    name: str,
    context: Mapping[str, Any] | None,
    *,
    language: str | None,
    subject: str | None,
    fields: Fields,
) -> M:
    """Return a message of a class, as `EmailMessage.from_template` says."""
    template = load(name, language)
    if subject is None and template.subject is None:
        raise TemplateError(
            f"the template {name!r} has no subject: write {_stem(template)}.subject.txt beside its other files, or give subject="
        )
    message = kind(subject or "", "", **fields)
    known = [str(each["Content-ID"]).strip("<> ") for each in message.attachments if isinstance(each, Message)]
    content = template.render(context, known_ids=known)
    if subject is None:
        message.subject = content.subject
    message.body = content.text
    if content.html:
        message.attach_alternative(content.html, "text/html")
    for image in content.images:
        message.attach(image.part())
    return message


def _stem(template: Any) -> str:
    return str((template.text or template.html).name).rpartition(".")[0]
