"""Templates and a list, beside the spool that the commands find."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from mailworker import settings
from tests.bulk.conftest import templates

__all__ = ["templates"]

LIST = """\
email,name
ann@example.com,Ann
nobody,N
ANN@example.com,Ann again
bob@example.net,Bob
cy@example.net
dan@example.org,Dan
"""


@pytest.fixture
def bulks(spooled, templates, tmp_path):
    """The spool, with templates and the path of a list; `env` is what another process needs."""
    path = tmp_path / "list.csv"
    path.write_text(LIST)
    env = {**spooled.env, "MAILWORKER_TEMPLATES": str(templates), "DEFAULT_FROM_EMAIL": "news@example.com"}
    with settings.override(MAILWORKER_TEMPLATES=[templates], DEFAULT_FROM_EMAIL="news@example.com"):
        # The spool is another object by these settings.
        yield SimpleNamespace(
            path=str(path), env=env, folder=Path(tmp_path), spool=spooled.spool, templates=templates, spooled=spooled
        )
