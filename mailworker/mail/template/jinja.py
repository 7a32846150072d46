"""Templates by Jinja2: strict about variables, escaping in HTML alone, each file read once a process."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from jinja2 import (
    BaseLoader,
    Environment,
    FileSystemLoader,
    StrictUndefined,
    Template,
    TemplateNotFound,
    TemplateSyntaxError,
    select_autoescape,
)
from jinja2.exceptions import TemplateRuntimeError, UndefinedError

from mailworker.errors import ConfigurationError, TemplateError
from mailworker.mail.template.folder import read
from mailworker.settings import Settings
from mailworker.settings.rule import is_dotted


class JinjaEngine:
    """Asks a loader.

    Args:
        loader: has the templates' sources.
        where: the places that it looks in, in words.
        file: returns what a file beside the templates holds.
        is_template: tells a template's file, by the name that its loader gave it.

    Attributes:
        where: see there.
        environment: Jinja2's; filters and globals may be added before the first template is asked for.
    """

    is_static = True

    def __init__(
        self,
        loader: BaseLoader,
        where: str,
        file: Callable[[str], bytes | None],
        is_template: Callable[[str], bool],
    ) -> None:
        self.where = where
        self.file = file
        self._is_template = is_template
        self.environment = Environment(
            loader=loader,
            undefined=StrictUndefined,
            # A text with &amp; in it is no text.
            autoescape=select_autoescape(("html",), default=False),
            keep_trailing_newline=True,
            auto_reload=False,
            cache_size=-1,
        )

    @classmethod
    def in_folders(cls, folders: list[Path]) -> JinjaEngine:
        """Return an engine that looks in folders; the first that has a file counts."""
        roots = tuple(map(str, folders))
        return cls(
            # Some editors begin a file with a byte order mark.
            FileSystemLoader(folders, encoding="utf-8-sig"),
            ", ".join(roots),
            lambda name: read(folders, name),
            lambda file: file.startswith(roots) and not file.endswith(".py"),
        )

    def find(self, name: str) -> JinjaTemplate | None:
        with self.told(name, {}):
            try:
                return JinjaTemplate(self, self.environment.get_template(name))
            except TemplateNotFound:
                return None

    def render(self, template: Template, name: str, context: Mapping[str, Any]) -> str:
        """Render a template of this engine's."""
        with self.told(name, context):
            return template.render(context)

    @contextmanager
    def told(self, name: str, context: Mapping[str, Any]) -> Iterator[None]:
        """Raise in our words what Jinja2 says is wrong."""
        try:
            yield
        except TemplateSyntaxError as error:
            place = _place(error.filename or error.name or name, error.lineno)
            raise TemplateError(f"{place}: {error.message}") from error
        except UndefinedError as error:
            names = ", ".join(sorted(map(str, context))) or "nothing"
            raise TemplateError(f"{self._line(error) or name}: {error.message}; the context has {names}") from error
        except TemplateNotFound as error:
            raise TemplateError(
                f"{self._line(error) or name}: it uses {error.name!r}, which is not in {self.where}"
            ) from error
        except TemplateRuntimeError as error:  # of a filter or test that is missing, which Jinja2 looks for only now
            raise TemplateError(f"{self._line(error) or name}: {error.message}") from error
        except UnicodeDecodeError as error:
            raise TemplateError(f"{name}: it is not UTF-8, as templates have to be") from error

    def _line(self, error: Exception) -> str:
        """Return the place in a template where an error arose: Jinja2 writes it into the traceback."""
        frames = traceback.extract_tb(error.__traceback__)
        found = [frame for frame in frames if self._is_template(frame.filename)]
        return _place(found[-1].filename, found[-1].lineno or 0) if found else ""


class JinjaTemplate:
    """A template of a `JinjaEngine`."""

    def __init__(self, engine: JinjaEngine, template: Template) -> None:
        assert template.name is not None
        self.name = template.name
        # Jinja2 has them in a chain of mappings, and copies that for each rendering: 10 us, where a dict takes one.
        template.globals = dict(template.globals)
        self._engine = engine
        self._template = template

    def render(self, context: Mapping[str, Any]) -> str:
        return self._engine.render(self._template, self.name, context)


def engine(conf: Settings) -> JinjaEngine:
    """Return an engine for the settings.

    Raises:
        ConfigurationError: a package is not there, or the function that sets it up is not.
    """
    made = JinjaEngine.in_folders([folder for place in conf.MAILWORKER_TEMPLATES for folder in _folders(place)])
    set_up(made.environment, conf)
    return made


def set_up(environment: Environment, conf: Settings) -> None:
    """Let the project's function add its filters and globals to an environment.

    Raises:
        ConfigurationError: there is no such function.
    """
    function = conf.MAILWORKER_TEMPLATE_SETUP
    if isinstance(function, str):
        module, _, name = function.partition(":")
        try:
            function = getattr(import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(
                f"MAILWORKER_TEMPLATE_SETUP: got {function!r}, which cannot be imported ({type(error).__name__}: {error})"
            ) from error
    if function is not None:
        function(environment)


def _folders(place: str) -> list[Path]:
    package, colon, folder = place.partition(":")
    if not colon or not is_dotted(package):
        return [Path(place).absolute()]
    try:
        spec = find_spec(package)
    except ImportError:
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            f"MAILWORKER_TEMPLATES: got {place!r}, and there is no package {package}; expected package:folder, or a path"
        )
    return [Path(root) / folder for root in spec.submodule_search_locations]


def _place(file: str, line: int) -> str:
    return f"{file}, line {line}"
