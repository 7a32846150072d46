"""What surrounds a private part: an environment and a working directory in which nobody has configured anything.

The caller's own MAILWORKER_* and EMAIL_* variables, a `.env` in the working directory or a Django project must not lead a
trial mail to a real relay. They are put aside for the demo's own process, and parts never see them.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

import mailworker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Beginnings of names that configure mailworker, Celery or Django, or stand in for a setting.
_PREFIXES = ("MAILWORKER_", "EMAIL_", "CELERY_", "DJANGO_", "REDIS_")


def clean_environment(environment: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Return an environment without settings, in which temporary files go to a private folder.

    Args:
        environment: what to clean.
        folder: the private folder.
    """
    from mailworker.settings import Settings

    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith(_PREFIXES) and name not in Settings.model_fields
    }
    # A worker's heartbeat and locks go there too, so that no `mailworker health` takes it for a real one.
    return {**kept, "TMPDIR": str(folder), "XDG_RUNTIME_DIR": str(folder), "PYTHONUNBUFFERED": "1"}


def importing_environment() -> dict[str, str]:
    """Return this process's environment, in which a part finds the same mailworker that runs here."""
    package = str(Path(mailworker.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path}


@contextlib.contextmanager
def put_aside(folder: Path) -> Iterator[None]:
    """Give this process a clean environment and a private working directory, and take both back afterwards."""
    environment, here = dict(os.environ), os.open(".", os.O_RDONLY)
    try:
        _replace(clean_environment(environment, folder))
        os.chdir(folder)
        yield
    finally:
        os.fchdir(here)
        os.close(here)
        _replace(environment)


def _replace(environment: Mapping[str, str]) -> None:
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)
