"""Which Djangos there are to test with: the one of this environment, and one of another Python if it is at hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

#: How Django is told of mail: by EMAIL_* names (5.2), or by MAILERS (6.1).
KINDS = ("names", "mailers")

#: Says what a Python has: Django's version, and whether it can import what settings import.
_PROBE = "import json, django, pydantic_settings; print(json.dumps(django.VERSION[:2]))"


@cache
def pythons() -> dict[str, str]:
    """Return a Python for Django with EMAIL_* names and one for Django with MAILERS, where they are at hand."""
    given = os.environ.get("TEST_DJANGO61_PYTHON", "")
    around = [*map(str, ROOT.glob(".venv*/bin/python")), *(shutil.which(f"python3.{minor}") for minor in (12, 13))]
    found: dict[str, str] = {}
    for python in [sys.executable, given, *around]:
        version = _django_of(python) if python else None
        if python and version:
            found.setdefault("mailers" if version >= (6, 1) else "names", python)
    return found


def python_for(kind: str) -> str:
    """Return a Python that has such a Django; skip the test where there is none."""
    python = pythons().get(kind)
    if python is None:
        pytest.skip(f"no Python with Django {'6.1 (set TEST_DJANGO61_PYTHON)' if kind == 'mailers' else '5.2'} is here")
    return python


@cache
def _django_of(python: str) -> tuple[int, int] | None:
    found = subprocess.run([python, "-c", _PROBE], capture_output=True, text=True, check=False, timeout=60)
    return tuple(json.loads(found.stdout)) if found.returncode == 0 else None
