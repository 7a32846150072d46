"""Where the project is that a command works for: its modules are in the working directory, as for `celery` and `python -m`.

Without them, the installed `mailworker` command could import neither MAILWORKER_CELERY_APP nor a backend of the project. A
Django project's settings are loaded where DJANGO_SETTINGS_MODULE names them: a worker has them in any case, since Celery sets
Django up, and a command that asked before that would look at another broker, or into other queues.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from mailworker.errors import ConfigurationError

if TYPE_CHECKING:
    from celery import Celery

    from mailworker.settings import Settings


#: What stands in INSTALLED_APPS, or the beginning of it.
_DJANGO_APP = "mailworker.contrib.django"


def find_project() -> None:
    """Make modules in the working directory importable, and load Django's settings where there are some.

    Raises:
        ConfigurationError: DJANGO_SETTINGS_MODULE names settings that cannot be loaded.
    """
    _find_modules()
    module = os.environ.get("DJANGO_SETTINGS_MODULE")
    if module:
        _load_django(module)


def app_and_settings() -> tuple[Celery, Settings]:
    """Find the project, and return the app that its mail goes through and the settings that count then.

    Raises:
        ConfigurationError: a setting is wrong, or MAILWORKER_CELERY_APP leads to no app.
    """
    find_project()
    from mailworker import settings
    from mailworker.queue import app as apps

    app = apps.current()
    # After the project is imported, which may have called `configure()`.
    return app, settings.current()


def _find_modules() -> None:
    try:
        here = str(Path.cwd())
    except OSError:
        return  # somebody has removed it under our feet, and a project with it
    if here not in sys.path:
        sys.path.insert(0, here)


def _load_django(module: str) -> None:
    try:
        settings = import_module("django.conf").settings
    except ImportError:
        return  # the variable is somebody else's here
    try:
        # The first look at any of them loads them all. Where our app is among the project's, it tells more than settings do.
        if any(str(app).startswith(_DJANGO_APP) for app in settings.INSTALLED_APPS):
            import_module("django").setup()
    except Exception as error:
        raise ConfigurationError(
            f"DJANGO_SETTINGS_MODULE is {module!r}, which cannot be loaded ({type(error).__name__}: {error}); expected the "
            "dotted path of your project's settings, or nothing where mailworker runs without Django"
        ) from error
