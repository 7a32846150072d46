"""Templates of mails by Django's own engine: the project's template folders, its tags and filters.

As everywhere in Django a missing variable is empty, and the engine keeps what it has read unless DEBUG is on. HTML is escaped
and texts are not, whatever the engine's option `autoescape` says: the names tell which is which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.template import Context, TemplateDoesNotExist, TemplateSyntaxError, engines
from django.template.backends.django import DjangoTemplates

from mailworker.errors import ConfigurationError, TemplateError
from mailworker.mail.template.folder import read
from mailworker.settings import Settings


class DjangoEngine:
    """Asks the project's `DjangoTemplates` engines, in the order of TEMPLATES.

    Args:
        backends: the engines.

    Attributes:
        where: their folders, in words.
    """

    #: Django decides what stays as it is.
    is_static = False

    def __init__(self, backends: list[Any]) -> None:
        self._backends = backends
        self._folders = [Path(folder) for backend in backends for folder in backend.template_dirs]
        self.where = ", ".join(map(str, self._folders)) or "the loaders of TEMPLATES"

    def find(self, name: str) -> DjangoTemplate | None:
        for backend in self._backends:
            with told(name, self.where):
                try:
                    return DjangoTemplate(name, backend.get_template(name).template, self.where)
                except TemplateDoesNotExist:
                    continue
        return None

    def file(self, name: str) -> bytes | None:
        return read(self._folders, name)


class DjangoTemplate:
    """A template of a `DjangoEngine`."""

    def __init__(self, name: str, template: Any, where: str) -> None:
        self.name = name
        self._template = template
        self._where = where

    def render(self, context: Mapping[str, Any]) -> str:
        with told(self.name, self._where):
            variables = Context(dict(context), autoescape=self.name.endswith(".html"))
            return str(self._template.render(variables))


def engine(conf: Settings) -> DjangoEngine:
    """Return an engine for the project; it has no settings but Django's.

    Raises:
        ConfigurationError: no engine of TEMPLATES is Django's own.
    """
    backends = [backend for backend in engines.all() if isinstance(backend, DjangoTemplates)]
    if not backends:
        raise ConfigurationError(
            "TEMPLATES has no engine of django.template.backends.django.DjangoTemplates, which templates of mails need: add one, "
            'or set MAILWORKER_TEMPLATE_ENGINE to "jinja2"'
        )
    return DjangoEngine(backends)


@contextmanager
def told(name: str, where: str) -> Iterator[None]:
    """Raise in our words what Django says is wrong."""
    try:
        yield
    except TemplateSyntaxError as error:
        line = getattr(getattr(error, "token", None), "lineno", None)
        raise TemplateError(f"{name}{f', line {line}' if line else ''}: {error}") from error
    except TemplateDoesNotExist as error:
        raise TemplateError(f"{name}: it uses {str(error)!r}, which is not in {where}") from error
