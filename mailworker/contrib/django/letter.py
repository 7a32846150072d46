"""Letters by Django's engine: templates are gathered with all that they include or extend, and bound together again from that.

The engine of a letter has the tags, filters and builtins of the project's. In a bulk a variable that is missing is no empty text
but an error, as it is with Jinja2, unless a tag or a filter expects that (`mailworker.contrib.django.asking`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.template import Engine, Template, TemplateDoesNotExist, engines
from django.template.backends.django import DjangoTemplates
from django.template.base import Node
from django.template.loader_tags import ExtendsNode

from mailworker.contrib.django.asking import ask
from mailworker.contrib.django.letter_reading import named, outline, reading, used
from mailworker.contrib.django.templates import DjangoTemplate, told
from mailworker.errors import ConfigurationError, TemplateError
from mailworker.mail.letter.reading import Reading
from mailworker.mail.template import engine as port
from mailworker.settings import Settings

_WHERE = "the letter"


def gathered(engine: port.Engine, names: Iterable[str], fields: Mapping[str, str]) -> dict[str, str]:
    """Return the sources of templates and of all that they use, see `mailworker.mail.letter.binding.Binder`."""
    backends = _backends()
    sources: dict[str, str] = {}
    found: dict[str, Template] = {}
    for name, source in fields.items():
        with told(name, engine.where):
            found[name] = Template(source, name=name, engine=backends[0].engine)
    waiting = list(names)
    for template in found.values():
        waiting += used(template)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        template = _template(backends, name, engine.where)
        if template is None:
            # Whether it may be missing is for the template that names it to say.
            continue
        found[name] = template
        sources[name] = template.source
        waiting += used(template)
    for name, template in found.items():
        _check(template, name, sources, engine.where)
    return sources


def bound(conf: Settings, sources: Mapping[str, str]) -> BoundByDjango:
    """Return templates out of their sources, see `mailworker.mail.letter.binding.Binder`.

    Raises:
        ConfigurationError: this process has no Django project.
    """
    return BoundByDjango(sources, [backend.engine for backend in _backends()])


class BoundByDjango:
    """Django's templates out of their sources.

    Args:
        sources: by their names.
        engines: the project's, whose tags and filters there are.
    """

    def __init__(self, sources: Mapping[str, str], engines: Iterable[Any]) -> None:
        libraries: dict[str, str] = {}
        builtins: list[str] = []
        for engine in engines:
            libraries = {**engine.libraries, **libraries}
            builtins += [each for each in engine.builtins if each not in (*Engine.default_builtins, *builtins)]
        self._sources = sources
        self._engine = Engine(
            # Cached, or what a template includes would be compiled for each message.
            loaders=[
                ("django.template.loaders.cached.Loader", [("django.template.loaders.locmem.Loader", dict(sources))])
            ],
            libraries=libraries,
            builtins=builtins,
        )
        self._templates: dict[str, Template] = {}

    def compiled(self, name: str) -> DjangoTemplate:
        # All of them, for one may show another, and asks for its variables then.
        for each in self._sources:
            self._template(each)
        return DjangoTemplate(name, self._template(name), _WHERE)

    def constant(self, name: str) -> str | None:
        text = self.outline(name)
        return None if "\0" in text else text

    def reading(self, name: str) -> Reading:
        return reading(self._template, name, self._sources)

    def outline(self, name: str) -> str:
        return "".join(outline(self._template(name).nodelist))

    def _template(self, name: str) -> Template:
        template = self._templates.get(name)
        if template is None:
            with told(name, _WHERE):
                template = self._templates[name] = self._engine.get_template(name)
            ask(template, name)
        return template


def _check(template: Template, name: str, known: Collection[str], where: str) -> None:
    """Check that what a template cannot do without is there."""
    for node in template.nodelist.get_nodes_by_type(Node):
        names = named(node, name)
        if names and not any(each in known for each in names):
            line = f", line {node.token.lineno}" if node.token else ""
            raise TemplateError(f"{name}{line}: it uses {' or '.join(map(repr, names))}, which is not in {where}")
        if isinstance(node, ExtendsNode) and names == [name]:
            raise TemplateError(
                f"{name}: it extends another template of the same name; in a bulk each name is one template, so give it its own"
            )


def _backends() -> list[Any]:
    try:
        return [backend for backend in engines.all() if isinstance(backend, DjangoTemplates)]
    except ImproperlyConfigured as error:
        raise ConfigurationError(
            "the letter's templates are Django's, and Django is not set up here: run the worker with the project's "
            f"DJANGO_SETTINGS_MODULE, as manage.py does ({error})"
        ) from error


def _template(backends: Iterable[Any], name: str, where: str) -> Template | None:
    for backend in backends:
        with told(name, where):
            try:
                return backend.get_template(name).template
            except TemplateDoesNotExist:
                continue
    return None
