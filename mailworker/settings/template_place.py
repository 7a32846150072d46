"""Where templates of mails lie, and which engine reads them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar

from mailworker.settings.rule import NOT_SET, BadValue, Rule, is_dotted, show_wrong, split_list

#: The engines that there are.
ENGINES = ("jinja2", "django")


@dataclass(frozen=True)
class TemplatePlaces(Rule):
    """Folders, or folders inside packages as "package:folder"."""

    expected: ClassVar[str] = "folders separated by commas, each a path, or package:folder for one inside a package"
    example = "templates,shop:templates/mail"

    def parse(self, value: Any) -> tuple[str, ...]:
        """Read them from text, from one path or from a list; whether they are there is not asked."""
        places = split_list([value] if isinstance(value, os.PathLike) else value)
        if not places:
            raise BadValue
        return tuple(_place(place) for place in places)

    def show(self, value: Any) -> str:
        """Return them with commas between them."""
        return ",".join(value)


@dataclass(frozen=True)
class TemplateEngine(Rule):
    """The name of an engine, or None."""

    expected: ClassVar[str] = " or ".join(ENGINES)
    example = "jinja2"

    def parse(self, value: Any) -> str | None:
        """Take one of the names."""
        if value is not None and value not in ENGINES:
            raise BadValue
        return None if value is None else str(value)


@dataclass(frozen=True)
class FunctionPath(Rule):
    """A function, or where one is as "module:function", or None."""

    expected: ClassVar[str] = "a module and the function in it, with a colon between them (in Python also the function)"
    example = "shop.mail:set_up"

    def parse(self, value: Any) -> Any:
        """Take a path of that form, whose module is imported later, or what can be called."""
        if value is None or callable(value):
            return value
        if not isinstance(value, str):
            raise BadValue
        module, colon, function = value.partition(":")
        if not colon or not is_dotted(module) or not is_dotted(function):
            raise BadValue
        return value

    def show(self, value: Any) -> str:
        """Return the path; of a function, its name."""
        if callable(value):
            return f"{getattr(value, '__module__', '?')}:{getattr(value, '__qualname__', type(value).__name__)}"
        return value or NOT_SET


def _place(place: Any) -> str:
    text = os.fspath(place) if isinstance(place, os.PathLike) else place
    if not isinstance(text, str) or not text or "\0" in text:
        raise BadValue(f"has {show_wrong(place)} in it, which is no path")
    return text
