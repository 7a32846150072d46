"""What the mails of a large bulk say: the templates for rows of `tests.bulk_list`, and what a worker and a producer need for them.

Its text is as long as that of `tests.bench.letters`, so that a bulk and single mails can be compared.
"""

from __future__ import annotations

from pathlib import Path

from tests.bench.letters import BODY, SENDER

#: Name -> source. There are two letters: "text", and "html" with a part of HTML beside the same text.
_LINES = BODY.splitlines()
_TEXT = "\n".join(
    [
        "Dear {{ name }} in {{ city }},",
        *_LINES[:-3],
        "Your order {{ order }}{% if note %}: {{ note }}{% endif %}.",
        "No more of these: {{ unsubscribe_url }}",
        "",
    ]
)
_HTML = "\n".join(
    [
        "<html><body><h1>Dear {{ name }} in {{ city }}</h1>",
        *[f"<p>{line}</p>" for line in _LINES[:-3]],
        "<p>Your order {{ order }}{% if note %}: <b>{{ note }}</b>{% endif %}.</p>",
        '<p><a href="{{ unsubscribe_url }}">No more of these</a></p></body></html>',
        "",
    ]
)
SOURCES = {
    "text.subject.txt": "Your order, {{ name }}",
    "text.txt": _TEXT,
    "html.subject.txt": "Your order, {{ name }}",
    "html.txt": _TEXT,
    "html.html": _HTML,
}


def write_templates(folder: Path) -> Path:
    """Write the templates, and return where they are."""
    templates = folder / "templates"
    templates.mkdir()
    for name, source in SOURCES.items():
        (templates / name).write_text(source)
    return templates


def environment(templates: Path) -> dict[str, str]:
    """Return what a producer needs for the letters, and a worker for the keys of their links."""
    return {
        "DEFAULT_FROM_EMAIL": SENDER,
        "MAILWORKER_TEMPLATES": str(templates),
        "MAILWORKER_UNSUBSCRIBE_URL": "https://example.com/no-more/{token}",
        "MAILWORKER_UNSUBSCRIBE_KEYS": "a key for tests that is long enough",
    }
