"""Writes messages to a stream, standard output by default, instead of sending them."""

from __future__ import annotations

import sys
from email.message import Message
from typing import Any, ClassVar

from mailworker.mail.backends.plain import PlainEmailBackend
from mailworker.mail.render import flatten

#: Between two messages.
RULE = "-" * 79


class EmailBackend(PlainEmailBackend):
    """The console backend.

    Args:
        stream: where to write; standard output as it is when the backend is built.
    """

    accepted_text: ClassVar[str] = "written to the console"

    def __init__(self, *args: Any, stream: Any = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stream = sys.stdout if stream is None else stream

    def take(self, message: Any) -> None:
        """Write one message and flush it."""
        self.write_message(message)
        self.stream.flush()

    def write_message(self, message: Any) -> None:
        """Write one message and a rule below it."""
        rendered = message.message()
        self._write(f"{_shown(rendered)}\n{RULE}\n")

    def _write(self, text: str) -> None:
        try:
            self.stream.write(text)
        except UnicodeEncodeError:
            # A terminal without Unicode still shows the message, with escapes.
            encoding = getattr(self.stream, "encoding", None) or "ascii"
            self.stream.write(text.encode(encoding, "backslashreplace").decode(encoding))


def _shown(rendered: Message) -> str:
    charset = rendered.get_charset()
    encoding = (getattr(charset, "output_charset", None) or "utf-8") if charset else "utf-8"
    return flatten(rendered).decode(encoding, "backslashreplace")
