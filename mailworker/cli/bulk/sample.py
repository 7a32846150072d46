"""A message as a person looks at it before it is sent: its headers and its text. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import click

from mailworker.mail.message import EmailMultiAlternatives

#: Lines of the text that are shown.
_LINES = 20

#: Headers that tell what somebody looks for.
_HEADERS = ("Reply-To", "List-Unsubscribe", "Precedence")


def sample(message: EmailMultiAlternatives, number: int) -> Iterator[str]:
    """Yield the lines that show a message.

    Args:
        message: it.
        number: which one of the samples.
    """
    yield click.style(f"-- message {number} ", bold=True) + "-" * 40
    fields = {
        "From": message.from_email,
        "To": ", ".join(map(str, message.to)),
        "Subject": str(message.subject),
        "Reply-To": ", ".join(map(str, message.reply_to)),
        **{name: str(value) for name, value in message.extra_headers.items() if name in _HEADERS},
    }
    yield from (f"{name}: {_printable(str(value))}" for name, value in fields.items() if value)
    yield ""
    lines = str(message.body).splitlines()
    yield from (_printable(line) for line in lines[:_LINES])
    if len(lines) > _LINES:
        yield f"... {len(lines) - _LINES} lines more"
    for alternative in message.alternatives:
        yield f"(and {alternative.mimetype}, {len(str(alternative.content)):,} characters)"


def _printable(line: str) -> str:
    # What came in a list must not speak to the terminal.
    return "".join(char if char.isprintable() else " " for char in line)
