"""Images that an HTML template shows by `<img src="cid:logo.png">`: the file beside the templates travels in the message.

Its Content-ID is made of the name and a digest of the content (RFC 2392 wants one that no other part has), so the same image
has the same one in every message. Only what is quoted as `src` or `background` of an element counts, and only images: a text that
a user has written cannot ask for a file.
"""

from __future__ import annotations

import hashlib
import re
from base64 import encodebytes
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from email.mime.base import MIMEBase

from mailworker.errors import TemplateError
from mailworker.mail.attachment import guessed_type

_REFERENCE = re.compile(r"""(<[a-zA-Z][^<>]*?\s(?:src|background)\s*=\s*)(["'])cid:([^"'<>]+)\2""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class InlineImage:
    """One image, encoded once for however many messages show it.

    Attributes:
        name: the file's name, without its folder.
        content_id: what `cid:` refers to.
        mimetype: "image/png".
        encoded: its content in base64.
    """

    name: str
    content_id: str
    mimetype: str
    encoded: str = field(repr=False)

    @classmethod
    def of(cls, path: str, content: bytes) -> InlineImage:
        """Return the image for a file."""
        name = path.rpartition("/")[2]
        digest = hashlib.sha256(content).hexdigest()[:16]
        known = re.sub(r"[^A-Za-z0-9._-]", "_", name)
        return cls(name, f"{digest}.{known}@mailworker", guessed_type(name), encodebytes(content).decode("ascii"))

    def part(self) -> MIMEBase:
        """Return a part for one message (RFC 2183: inline)."""
        part = MIMEBase(*self.mimetype.split("/", 1))
        part.set_payload(self.encoded)
        part["Content-Transfer-Encoding"] = "base64"
        part["Content-ID"] = f"<{self.content_id}>"
        part.add_header(
            "Content-Disposition",
            "inline",
            filename=self.name if self.name.isascii() else ("utf-8", "", self.name),
        )
        return part


def references(html: str) -> list[str]:
    """Return the files' names, and the Content-IDs, by which HTML shows images."""
    return [found[3] for found in _REFERENCE.finditer(html)]


def with_images(
    html: str, find: Callable[[str], InlineImage | None], known: Collection[str], name: str
) -> tuple[str, tuple[InlineImage, ...]]:
    """Return HTML that refers to its images by their Content-IDs, and the images.

    Args:
        html: refers to them by their files' names.
        find: returns the image for a file's name.
        known: Content-IDs that the message brings along; these, and any with an "@" in it, are left as they are.
        name: of the template, for errors.

    Raises:
        TemplateError: there is no image of that name.
    """
    images: dict[str, InlineImage] = {}

    def refer(found: re.Match[str]) -> str:
        before, quote, path = found.groups()
        if path in known or "@" in path:
            return found.group()
        image = images.get(path) or find(path)
        if image is None:
            raise TemplateError(
                f"{name}: cid:{path} is no image beside the templates, and no attachment of the message"
            )
        images[path] = image
        return f"{before}{quote}cid:{image.content_id}{quote}"

    return _REFERENCE.sub(refer, html), tuple(dict.fromkeys(images.values()))
