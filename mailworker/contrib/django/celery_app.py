"""Which Celery app a Django project has, by the convention of Celery's guide: `proj/celery.py` beside `proj/settings.py`.

Looked for once, in the packages around the settings module, the nearest first: the attribute `celery_app` of the package
itself, then its module `celery` or `celery_app`. A project without one has none; one that cannot be imported is an error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from django.conf import settings

from mailworker.errors import ConfigurationError

if TYPE_CHECKING:
    from celery import Celery

_MODULES = ("celery", "celery_app")
#: What the app is called in such a module, the most usual first.
_ATTRIBUTES = ("app", "celery", "celery_app")

_found: dict[str, Celery | None] = {}


def find() -> Celery | None:
    """Return the project's app, None if there is none where the convention has it.

    Raises:
        ConfigurationError: the module that should have it cannot be imported.
    """
    module = _settings_module()
    if module not in _found:
        _found[module] = next(_apps(module), None)
    return _found[module]


def has_module() -> bool:
    """Tell whether there is a module where the convention has the app; none is imported."""
    return any(_is_there(f"{package}.{name}") for package in _packages(_settings_module()) for name in _MODULES)


def _settings_module() -> str:
    # Under `override_settings` the settings have no module.
    return str(getattr(settings, "SETTINGS_MODULE", None) or os.environ.get("DJANGO_SETTINGS_MODULE", ""))


def _packages(settings_module: str) -> Iterator[str]:
    package = settings_module
    while "." in package:
        package = package.rpartition(".")[0]
        yield package


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ImportError:
        # Its package is none, or is gone: settings that were configured by hand have the name of anything.
        return False


def _apps(settings_module: str) -> Iterator[Celery]:
    for package in _packages(settings_module):
        exported = _app_in(sys.modules.get(package), ("celery_app",))
        if exported is not None:
            yield exported
        for name in _MODULES:
            found = _app_in(_imported(f"{package}.{name}"), _ATTRIBUTES)
            if found is not None:
                yield found


def _imported(name: str) -> Any:
    try:
        if find_spec(name) is None:
            return None
        return import_module(name)
    except Exception as error:
        raise ConfigurationError(
            f"{name}, where the project's Celery app should be, cannot be imported ({type(error).__name__}: {error}); mend "
            'it, or set MAILWORKER = {"CELERY_APP": "module:app"} ("mailworker:app" for an app of mailworker\'s own)'
        ) from error


def _app_in(module: Any, names: tuple[str, ...]) -> Celery | None:
    from celery import Celery

    for name in names:
        value = getattr(module, name, None)
        if isinstance(value, Celery):
            return value
    return None
