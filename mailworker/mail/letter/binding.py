"""Templates that travel: gathered where they lie, and bound together again from their sources where they are rendered.

Which engine they are written for is the settings' matter at first (`mailworker.mail.template.engine`) and the letter's own from
then on. What an engine knows of its templates stands in a module for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, Protocol, cast

from mailworker.errors import ConfigurationError
from mailworker.mail.letter.reading import Reading
from mailworker.mail.template.engine import Compiled, Engine
from mailworker.settings import Settings

#: Engine -> module with `gathered` and `bound` (imported by name: what belongs to a framework stands above this layer), the
#: distribution that it needs, and how to get it.
_BINDERS = {
    "jinja2": ("mailworker.mail.letter.jinja", "jinja2", "pip install 'mailworker[bulk]'"),
    "django": ("mailworker.contrib.django.letter", "django", "pip install django"),
}


class Bound(Protocol):
    """Templates out of their sources."""

    def compiled(self, name: str) -> Compiled:
        """Return one of them.

        Raises:
            TemplateError: it cannot be compiled.
        """
        ...

    def constant(self, name: str) -> str | None:
        """Return what a template always comes to; None if that depends on the row."""
        ...

    def reading(self, name: str) -> Reading:
        """Return what a template does with a row, all that it uses included."""
        ...

    def outline(self, name: str) -> str:
        """Return a template's own text, with a NUL in place of each expression and tag."""
        ...


class Binder(Protocol):
    """What an engine's module does."""

    def gathered(self, engine: Engine, names: Iterable[str], fields: Mapping[str, str]) -> dict[str, str]:
        """Return the sources of templates and of all that they use, by their names.

        Args:
            engine: finds them.
            names: of the templates to begin with.
            fields: name -> source of further ones; they are not among what is returned, but what they use is.

        Raises:
            TemplateError: one is missing or wrong, or what it uses depends on a variable.
        """
        ...

    def bound(self, conf: Settings, sources: Mapping[str, str]) -> Bound:
        """Return templates out of their sources; `conf` has what the project adds to the engine.

        Raises:
            ConfigurationError: the project's engine is not there.
        """
        ...


def binder(engine: str) -> Binder:
    """Return the module for an engine.

    Args:
        engine: its name, as `mailworker.mail.template.engine.name_of` says it.

    Raises:
        ConfigurationError: it is not installed.
    """
    module, needs, how = _BINDERS[engine]
    try:
        found: Any = import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != needs:
            raise
        raise ConfigurationError(f"the letter's templates need {needs}, which is not installed; run: {how}") from error
    return cast("Binder", found)


def is_known(engine: str) -> bool:
    """Tell whether there is an engine of that name."""
    return engine in _BINDERS
