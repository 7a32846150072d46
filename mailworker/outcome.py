"""What became of a recipient: values that `smtp`, `mail` and `delivery` share.

An outcome is per recipient and carries the relay's reply. "Accepted" is what the relay said; whether a mailbox ever saw
the message is not known here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class OutcomeClass(StrEnum):
    """The four things that can become of a recipient in one attempt."""

    ACCEPTED = "accepted"  #: 2xx after the final dot (RFC 5321 §4.2.5): the relay is responsible now
    DEFERRED = "deferred"  #: temporary: try this recipient again
    REJECTED = "rejected"  #: permanent: do not try again
    IN_DOUBT = "in-doubt"  #: the final dot went out and no reply came back (RFC 1047)


@dataclass(frozen=True, slots=True)
class Reply:
    """One SMTP reply (RFC 5321 §4.2).

    Attributes:
        code: three digits as a number, 250 for instance.
        text: the text of all lines, joined by a space, without codes; printable, at most 500 characters.
        enhanced: the enhanced status code (RFC 3463) such as "4.2.0", or None.
    """

    code: int
    text: str = ""
    enhanced: str | None = None

    @property
    def is_positive(self) -> bool:
        """Tell whether the server goes along: 2yz, or 3yz where it waits for more (RFC 5321 §4.2.1)."""
        return 200 <= self.code < 400

    @property
    def is_transient(self) -> bool:
        """Tell whether the same command may succeed later: 4yz."""
        return 400 <= self.code < 500

    @property
    def is_permanent(self) -> bool:
        """Tell whether the same command will fail again: 5yz."""
        return 500 <= self.code < 600

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, self.text) if part)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one recipient in the last attempt.

    Attributes:
        kind: the class.
        reply: the relay's reply that decided it; None where no reply came.
        text: our own words where there is no reply ("connection lost in RCPT").
    """

    kind: OutcomeClass
    reply: Reply | None = None
    text: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return `{"class", "code", "text"}` and, where known, `"enhanced"`: the shape that `status --json` shows."""
        if self.reply is None:
            return {"class": self.kind.value, "code": None, "text": self.text}
        shown: dict[str, Any] = {"class": self.kind.value, "code": self.reply.code, "text": self.reply.text}
        if self.reply.enhanced:
            shown["enhanced"] = self.reply.enhanced
        return shown

    @classmethod
    def from_json(cls, shown: dict[str, Any]) -> Outcome:
        """Build an outcome from what `to_json` returned.

        Raises:
            KeyError, ValueError, TypeError: if it is not of that shape.
        """
        kind = OutcomeClass(shown["class"])
        if shown["code"] is None:
            return cls(kind, None, str(shown["text"]))
        return cls(kind, Reply(int(shown["code"]), str(shown["text"]), shown.get("enhanced")))
