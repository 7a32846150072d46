"""The mails of a chaos run: which number is whose, so that whoever counts needs to ask nobody."""

from __future__ import annotations

from mailworker import EmailMessage


def recipients(number: int) -> list[str]:
    """Return the recipients of a mail: mostly one, of each ten one has three, and one has two of whom one is deferred once."""
    if number % 10 == 3:
        return [f"{name}{number}@example.com" for name in ("a", "b", "c")]
    if number % 10 == 7:
        return [f"to{number}@example.com", f"busy{number}@example.com"]
    return [f"to{number}@example.com"]


def message(number: int) -> EmailMessage:
    """Compose a mail."""
    return EmailMessage(f"mail {number}", "x" * 300, "from@example.com", recipients(number))
