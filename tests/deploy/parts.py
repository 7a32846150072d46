"""Where the files under `deploy/` are, and what they all have to hold to."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from mailworker.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"

#: Seconds that a worker must be given to end: more than its longest transaction, and time to give the rest back.
LEAST_GRACE = 60 + sum(
    Settings.model_fields[name].default for name in ("MAILWORKER_TRANSACTION_TIMEOUT", "MAILWORKER_FINAL_REPLY_TIMEOUT")
)


def load_yaml(path: Path) -> list[Any]:
    """Return the documents of a YAML file; a key that is there twice is an error."""
    return list(YAML(typ="safe").load_all(path.read_text(encoding="utf-8")))


def need(tool: str) -> str:
    """Return the path of a program of the system, or skip; where `CI=true`, a missing one is a failure."""
    path = shutil.which(tool)
    if path is None:
        reason = f"{tool} is not on PATH"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path
