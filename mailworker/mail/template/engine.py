"""Which engine reads the templates: Jinja2, or Django's in a Django project.

One engine a process, made when the first template is asked for and again when the settings change. Neither is a dependency of
mailworker; one that is not installed is a `ConfigurationError` that says what to install.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Protocol

from mailworker import settings
from mailworker.errors import ConfigurationError
from mailworker.lock import ForkSafeLock
from mailworker.settings import Settings
from mailworker.settings.source import django_settings

#: Module that has a function `engine` from the settings to an engine, and the distribution that it needs. Imported by name:
#: what belongs to a framework stands above this layer.
_ENGINES = {
    "jinja2": ("mailworker.mail.template.jinja", "jinja2", "pip install 'mailworker[templates]'"),
    "django": ("mailworker.contrib.django.templates", "django", "pip install django"),
}


class Compiled(Protocol):
    """One template that is read and compiled.

    Attributes:
        name: the name that it was found under.
    """

    name: str

    def render(self, context: Mapping[str, Any]) -> str:
        """Return the text; only what is named `.html` is escaped.

        Raises:
            TemplateError: the context lacks a variable, or something that the template includes is not there.
        """
        ...


class Engine(Protocol):
    """Finds and compiles templates.

    Attributes:
        where: the places that it looks in, in words.
        is_static: what it has found once stays as it is.
    """

    where: str
    is_static: bool

    def find(self, name: str) -> Compiled | None:
        """Return a template by its name; None if there is none.

        Raises:
            TemplateError: it is there and cannot be compiled.
        """
        ...

    def file(self, name: str) -> bytes | None:
        """Return what a file beside the templates holds; None if there is none."""
        ...


_lock = ForkSafeLock()
_made: tuple[Settings, Engine] | None = None


def current() -> Engine:
    """Return the engine for the settings as they are now.

    Raises:
        ConfigurationError: it is not installed, or a setting of it is wrong.
    """
    global _made
    conf = settings.current()
    made = _made
    if made is not None and made[0] is conf:
        return made[1]
    with _lock:
        if _made is None or _made[0] is not conf:
            _made = (conf, _built(conf))
        return _made[1]


def name_of(conf: Settings) -> str:
    """Return which engine the settings name: "jinja2" or "django"."""
    return conf.MAILWORKER_TEMPLATE_ENGINE or ("django" if getattr(django_settings(), "TEMPLATES", None) else "jinja2")


def _built(conf: Settings) -> Engine:
    module, needs, how = _ENGINES[name_of(conf)]
    try:
        engine: Engine = import_module(module).engine(conf)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != needs:
            raise
        raise ConfigurationError(f"templates need {needs}, which is not installed; run: {how}") from error
    return engine
