"""The README's tables for those who come from another library: both sides are what they say."""

from __future__ import annotations

import inspect
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

import mailworker
from mailworker.contrib.flask import _FLASK_MAIL
from mailworker.lane import Lane
from mailworker.mail.options import AskedOptions
from mailworker.settings.model import RULES
from tests.readme import README

SECTION = README.split("## Moving over\n")[1].split("\n## ")[0]

ROWS = [
    tuple(cell.strip() for cell in line.strip("|").split("|")) for line in SECTION.splitlines() if line.startswith("|")
]

#: (what was, what is).
PAIRS = [row for row in ROWS if row[0] not in {"there", "---"}]


def _codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_there_is_something_to_look_at() -> None:
    assert len(PAIRS) > 20
    assert all(len(row) == 2 for row in PAIRS)


def test_what_it_sends_people_to_is_there() -> None:
    for _, here in PAIRS:
        for code in _codes(here):
            name = code.split(" ")[0]
            if re.fullmatch(r"[A-Z][A-Z_]+", name):
                assert name in RULES or f"MAILWORKER_{name}" in RULES or name == "MAILWORKER", name
            elif (called := re.match(r"(?:mailworker\.)?(\w+)\(", code)) and hasattr(mailworker, called[1]):
                names = set(inspect.signature(getattr(mailworker, called[1])).parameters) | set(
                    AskedOptions.__annotations__
                )
                assert set(re.findall(r"(\w+)=", code)) <= names | {"to"}, code
            for option in re.findall(r"^(at|expires|lane)=", code):
                assert option in AskedOptions.__annotations__
            for lane in re.findall(r'lane="(\w+)"', code):
                assert Lane(lane)


def test_flask_mails_names_are_those_that_the_extension_tells_of() -> None:
    table = SECTION.split("From **Flask-Mail**")[1]
    for old, new in _FLASK_MAIL.items():
        row = next(row for row in PAIRS if f"`{old}`" in row[0])
        assert f"`{old}`" in table
        assert f"`{new}`" in row[1]


@pytest.mark.parametrize(
    ("package", "names"),
    [
        ("djcelery_email", {"CELERY_EMAIL_": ["BACKEND", "TASK_CONFIG", "CHUNK_SIZE", "MESSAGE_EXTRA_ATTRIBUTES"]}),
        (
            "mailer",
            {
                "": [
                    "MAILER_EMAIL_BACKEND",
                    "MAILER_MESSAGES_BATCH_SIZE",
                    "MAILER_EMAIL_MAX_BATCH",
                    "MAILER_EMAIL_THROTTLE",
                ]
            },
        ),
        ("post_office", {"": ["scheduled_time", "expires_at", "MAX_RETRIES", "RETRY_INTERVAL", "requeue"]}),
    ],
)
def test_the_names_of_the_others_are_theirs(package: str, names: dict[str, list[str]]) -> None:
    # Not imported: they want a Django project around them.
    found = find_spec(package)
    if found is None or found.origin is None:
        pytest.skip("needs the extra bench")
    source = "".join(path.read_text() for path in Path(found.origin).parent.glob("*.py"))
    for prefix, parts in names.items():
        for part in parts:
            assert part in source
            assert f"`{prefix}{part}" in SECTION
