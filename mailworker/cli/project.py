"""Where the project's own modules are: in the working directory, as for `celery` and `python -m`.

Without it, the installed `mailworker` command could import neither MAILWORKER_CELERY_APP nor a backend of the project.
"""

from __future__ import annotations

import sys
from pathlib import Path


def find_project() -> None:
    """Make modules in the working directory importable."""
    try:
        here = str(Path.cwd())
    except OSError:
        return  # somebody has removed it under our feet, and a project with it
    if here not in sys.path:
        sys.path.insert(0, here)
