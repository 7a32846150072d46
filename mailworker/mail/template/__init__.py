"""Messages from templates: `NAME.subject.txt`, `NAME.txt` and `NAME.html`, found, compiled once, and rendered for each message.

`load` reads and compiles; what it returns renders without touching a file, in any thread, and knows no settings any more. Which
engine reads the files is `engine`'s to know, what a text becomes that of `html`, how an image gets into a message that of `image`.
What is wrong with a template, or missing in its context, is a `TemplateError`; what the code of a variable raises goes through as it is.
"""

from __future__ import annotations

from mailworker.mail.template.image import InlineImage
from mailworker.mail.template.loading import load
from mailworker.mail.template.mail_template import Content, MailTemplate

__all__ = ["Content", "InlineImage", "MailTemplate", "load"]
