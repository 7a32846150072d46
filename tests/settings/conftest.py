"""Each test sees the settings of a process in an empty folder, with nothing set and without Django."""

from __future__ import annotations

import os
import sys

import pytest

from mailworker import settings
from mailworker.errors import ConfigurationError
from mailworker.settings.model import RULES


@pytest.fixture(autouse=True)
def _untouched(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name in RULES or name == "REDIS_URL" or name.startswith("MAILWORKER"):
            monkeypatch.delenv(name)
    monkeypatch.delitem(sys.modules, "django.conf", raising=False)
    monkeypatch.chdir(tmp_path)
    settings.reset()
    yield
    settings.reset()


@pytest.fixture
def dotenv(tmp_path):
    """Write `.env` in the working directory."""

    def write(*lines):
        (tmp_path / ".env").write_text("\n".join(lines) + "\n", encoding="utf-8")

    return write


@pytest.fixture
def refusal():
    """Return the text of the ConfigurationError that these values from Python, or the sources alone, raise."""

    def refused(**values):
        with pytest.raises(ConfigurationError) as caught:
            settings.Settings(**values)
        return str(caught.value)

    return refused
