"""The settings as people read them: rows for `mailworker check`, and the table of the README."""

from __future__ import annotations

from dataclasses import dataclass

from mailworker.settings.model import RULES, Settings

#: Defaults that a value alone does not tell.
_TOLD = {
    "MAILWORKER_BROKER_URL": "`REDIS_URL`, else `redis://127.0.0.1:6379/0`",
    "MAILWORKER_MAX_MESSAGE_SIZE": "`26214400` (25 MiB)",
    "MAILWORKER_RETENTION": "`604800 s` (7 days)",
    "MAILWORKER_GIVE_UP_AFTER": "`86400 s` (1 day)",
    "MAILWORKER_SPOOL_URL": "the broker, if that is Redis",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One setting: its name, its value without secrets, where that came from, and what it does."""

    name: str
    value: str
    source: str
    description: str


def describe(settings: Settings) -> list[Row]:
    """Return a row for each setting; passwords and keys are masked, addresses are not."""
    return [
        Row(name, settings.show(name), settings.origin(name), info.description or "")
        for name, info in Settings.model_fields.items()
    ]


def markdown_table() -> str:
    """Return the README's table of settings: name, default, what it does; the same on every machine."""
    lines = ["| Setting | Default | What it does |", "|---|---|---|"]
    for name, info in Settings.model_fields.items():
        default = RULES[name].show(info.get_default(call_default_factory=True))
        told = _TOLD.get(name) or (default if default == "not set" else f"`{default}`")
        lines.append(f"| `{name}` | {told} | {info.description} |")
    return "\n".join(lines) + "\n"
