"""The templates of one mail, compiled, and what they render to. Pure: no file is read, and no setting, but for images seen first."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mailworker.errors import TemplateError
from mailworker.mail.template.html import text_of, with_inlined_css
from mailworker.mail.template.image import InlineImage, with_images

if TYPE_CHECKING:
    from mailworker.mail.template.engine import Compiled


@dataclass(frozen=True, slots=True)
class Content:
    """What a message says.

    Attributes:
        subject: one line; "" if there is no template for it.
        text: the text body.
        html: the HTML body, "" if there is none.
        images: what the HTML shows.
    """

    subject: str
    text: str
    html: str
    images: tuple[InlineImage, ...] = ()


@dataclass(frozen=True, slots=True)
class MailTemplate:
    """The templates of one mail.

    Attributes:
        name: the name that was asked for.
        subject: of the subject line, None = there is none.
        text: of the text body, None = it is made from the HTML.
        html: of the HTML body, None = there is none.
        image: returns the image for a file's name beside the templates.
        inlines_css: rules of style go into attributes.
    """

    name: str
    subject: Compiled | None
    text: Compiled | None
    html: Compiled | None
    image: Callable[[str], InlineImage | None]
    inlines_css: bool = False

    def render(self, context: Mapping[str, Any] | None = None, *, known_ids: Collection[str] = ()) -> Content:
        """Return what a message says to one recipient.

        Args:
            context: the templates' variables.
            known_ids: Content-IDs of images that the message has anyway.

        Raises:
            ConfigurationError: a library is not installed.
            TemplateError: a variable or an image is missing.
            TypeError: the context is no mapping, or a name in it no text.
        """
        if context is not None and not isinstance(context, Mapping):
            raise TypeError(f"the context is {type(context).__name__}; expected a mapping of names to values")
        variables = dict(context or {})
        for variable in variables:
            if not isinstance(variable, str):
                raise TypeError(
                    f"the context has {variable!r} for a name, which is {type(variable).__name__}; expected text"
                )
        # Whatever stands between words, a line break in somebody's name for instance: a subject is one line.
        subject = " ".join(self.subject.render(variables).split()) if self.subject else ""
        page = self.html.render(variables) if self.html else ""
        if self.text is not None:
            text = self.text.render(variables)
        elif self.html is not None:
            text = text_of(page, self.html.name)
        else:
            raise TemplateError(f"the template {self.name!r} has neither a text nor an HTML body")
        if self.html is None:
            return Content(subject, text, "")
        page, images = with_images(page, self.image, known_ids, self.html.name)
        return Content(subject, text, with_inlined_css(page) if self.inlines_css else page, images)
