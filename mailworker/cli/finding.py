"""What `check` found out about one thing: fine, good to know, a warning, or an error, and what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTICE = "notice"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `check`.

    Attributes:
        part: what was looked at: "settings", "app", "spool", "broker", "relay", "relay NAME" for another mailer, or
            "suppression".
        level: how bad it is.
        text: what was found.
        advice: what to do; empty where nothing is to be done.
    """

    part: str
    level: Level
    text: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        """Return plain values for `--json`."""
        return asdict(self)


def ok(part: str, text: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(part, Level.OK, text)


def notice(part: str, text: str, advice: str = "") -> Finding:
    """Return a finding that is neither good nor bad: it depends on what one wants."""
    return Finding(part, Level.NOTICE, text, advice)


def warning(part: str, text: str, advice: str) -> Finding:
    """Return a finding that something could be better."""
    return Finding(part, Level.WARNING, text, advice)


def error(part: str, text: str, advice: str) -> Finding:
    """Return a finding that something does not work."""
    return Finding(part, Level.ERROR, text, advice)
