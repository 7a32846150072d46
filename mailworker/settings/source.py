"""Where settings come from: layers of names and raw values, first wins.

The order: each `override()`, the latest first; `configure()`; what a framework's application has (`adopt()`); Django's settings if
Django is configured; the environment; `.env` in the working directory. Values are not judged here, names are: an unknown name that begins with MAILWORKER_ is a
problem, anybody else's name is not. Django is never imported: a process that uses it has it in `sys.modules`.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import Any

from dotenv import dotenv_values
from dotenv.parser import Binding, parse_stream
from pydantic import SecretStr
from pydantic_settings import BaseSettings, EnvSettingsSource

from mailworker.settings.backend import DJANGO_SMTP_BACKEND
from mailworker.settings.rule import BadValue, Rule, show_wrong
from mailworker.settings.url import parse_email_url

PREFIX = "MAILWORKER_"

CONFIGURE = "configure()"
OVERRIDE = "override()"
DJANGO = "Django's settings"
ENVIRONMENT = "the environment"
DOTENV = ".env"
DEFAULT = "default"

#: The names that Django 6.1 forbids beside MAILERS (its release notes, "Mailers"), and ours of the same purpose.
_RELAY_NAMES = frozenset(
    {
        "EMAIL_BACKEND",
        "EMAIL_FILE_PATH",
        "EMAIL_HOST",
        "EMAIL_HOST_PASSWORD",
        "EMAIL_HOST_USER",
        "EMAIL_PORT",
        "EMAIL_SSL_CERTFILE",
        "EMAIL_SSL_KEYFILE",
        "EMAIL_TIMEOUT",
        "EMAIL_USE_SSL",
        "EMAIL_USE_TLS",
    }
)
_OUR_RELAY_NAMES = frozenset({"EMAIL_URL", "EMAIL_DELIVERY_BACKEND"})

#: What Kubernetes puts into the environment of every pod for services called "mailworker" or "mailworker-something".
_KUBERNETES = re.compile(
    r"MAILWORKER_(PORT.*|SERVICE_.*|"
    r"(?P<service>[A-Z0-9_]+?)_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)?))"
)


@dataclass(frozen=True)
class Layer:
    """What one source says.

    Attributes:
        label: how a person knows the source.
        values: setting -> raw value.
        stand_in: setting -> (raw value, label): used if no layer has the setting (REDIS_URL for the broker).
        problems: sentences about names that should not be there.
    """

    label: str
    values: Mapping[str, Any] = field(default_factory=dict)
    stand_in: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Origin:
    """Where the value of a setting came from.

    Attributes:
        label: how a person knows the source.
        rank: place in the order of sources, 0 = the first that is asked.
        is_set: True if somebody set that very name, or EMAIL_URL in its place; False for a default or stand-in.
    """

    label: str
    rank: int
    is_set: bool = True


@dataclass(frozen=True)
class Found:
    """All layers, merged."""

    values: Mapping[str, Any]
    origins: Mapping[str, Origin]
    problems: tuple[str, ...]


def merge(layers: Sequence[Layer]) -> Found:
    """Take each setting from the first layer that has it, whole, and join the layers' problems.

    EMAIL_URL stands, in its own layer, for the names that it describes; a name beside it in that layer wins over it.
    """
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    problems: list[str] = []
    for rank, layer in enumerate(layers):
        problems.extend(layer.problems)
        for name, value in layer.values.items():
            if name not in values:
                values[name], origins[name] = value, Origin(_label(layer, name), rank)
        for name, value in _from_url(layer).items():
            if name not in values:
                values[name], origins[name] = value, Origin(f"EMAIL_URL in {layer.label}", rank)
    for rank, layer in enumerate(layers):
        for name, (value, label) in layer.stand_in.items():
            if name not in values:
                values[name], origins[name] = value, Origin(label, rank, is_set=False)
    return Found(values, origins, tuple(problems))


def from_python(label: str, values: Mapping[str, Any], rules: Mapping[str, Rule]) -> Layer:
    """Read what `configure()`, `adopt()` or `override()` was given: any unknown name is a problem."""
    unknown = tuple(_unknown(name, label, rules) for name in values if name not in rules)
    return Layer(label, {name: value for name, value in values.items() if name in rules}, problems=unknown)


def from_environment(model: type[BaseSettings], rules: Mapping[str, Rule]) -> Layer:
    """Read the process's environment."""
    return _from_variables(ENVIRONMENT, EnvSettingsSource(model).env_vars, rules)


def from_dotenv(rules: Mapping[str, Rule]) -> Layer:
    """Read `.env` in the working directory, if it is there; a line of it that is none is a problem."""
    path = Path(DOTENV)
    try:
        # Read once, for it may be a pipe of a password store. Some editors begin a file with a byte order mark.
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return Layer(DOTENV)
    except IsADirectoryError:
        return Layer(DOTENV, problems=() if _is_virtual_environment(path) else (_FOLDER,))
    except (OSError, UnicodeError) as error:
        why = "it is not UTF-8" if isinstance(error, UnicodeError) else error.strerror
        return Layer(
            DOTENV, problems=(f".env in the working directory cannot be read: {why}; mend it or move it away.",)
        )
    # Its reader would pass such a line over with a log record, and with it the setting that somebody wrote there.
    wrong = next((binding for binding in parse_stream(StringIO(text)) if binding.error), None)
    if wrong is not None:
        text = f"cannot be read in line {_line(wrong)}: expected NAME=VALUE, and quotes in pairs."
        return Layer(DOTENV, problems=(f".env in the working directory {text}",))
    return _from_variables(DOTENV, dotenv_values(stream=StringIO(text)), rules)


#: What to do about a folder in the place of the file.
_FOLDER = (
    ".env in the working directory is a folder, expected a file with lines NAME=VALUE: remove it (container engines make one "
    "where the file that they shall mount is missing)."
)


def _is_virtual_environment(folder: Path) -> bool:
    """Tell whether a folder is one of Python's or conda's environments, which some people call `.env`."""
    return (folder / "pyvenv.cfg").exists() or (folder / "conda-meta").exists()


def _line(binding: Binding) -> int:
    """Return the line where a binding stands; its parser counts from the blank lines before it."""
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")


def from_django(rules: Mapping[str, Rule]) -> Layer:
    """Read Django's settings, if Django is in this process and configured.

    A value equal to Django's own default, or None, counts as unset. Where Django 6.1 has MAILERS, the names that it
    forbids beside MAILERS are not read.
    """
    settings = django_settings()
    if settings is None:
        return Layer(DJANGO)
    has_mailers = sys.modules["django"].VERSION >= (6, 1) and hasattr(settings, "MAILERS")
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in _django_values(settings, rules).items():
        if has_mailers and name in _OUR_RELAY_NAMES:
            problems.append(
                f'{name} (from {DJANGO}) is not read beside MAILERS: describe the relay in MAILERS["relay"].'
            )
        elif not (has_mailers and name in _RELAY_NAMES):
            values[name] = value
    problems.extend(
        f"{name} (from {DJANGO}) is not read under that name: "
        f'write MAILWORKER = {{"{name.removeprefix(PREFIX)}": ...}} in the settings module.'
        for name in dir(settings)
        if name.startswith(PREFIX)
    )
    ours = getattr(settings, "MAILWORKER", None)
    if isinstance(ours, Mapping):
        named = {f"{PREFIX}{key}": _plain(value) for key, value in ours.items()}
        values |= {name: value for name, value in named.items() if name in rules and not _is_unset(value, rules[name])}
        problems.extend(_unknown_key(key, rules) for key in ours if f"{PREFIX}{key}" not in rules)
    elif ours is not None:
        problems.append(
            f"MAILWORKER (from {DJANGO}) is of type {type(ours).__name__}, but must be a dict of settings without their "
            'prefix: write for instance MAILWORKER = {"BROKER_URL": "redis://127.0.0.1:6379/0"}.'
        )
    return Layer(DJANGO, values, problems=tuple(problems))


#: What `django_state` returns where there is no Django to look at.
NO_DJANGO: tuple[Any, ...] = (None,)


def django_settings() -> Any | None:
    """Return the object that holds Django's settings, or None if this process has no configured Django.

    It is the one behind Django's lazy proxy: reading the proxy warns (6.1) and, unconfigured, would set Django up.
    """
    conf = sys.modules.get("django.conf")
    settings = getattr(conf, "settings", None)  # None too while Django itself is still being imported
    if settings is None or not getattr(settings, "configured", False):
        return None
    return settings._wrapped  # noqa: SLF001 - see above; Django has nothing public for it


def django_state() -> tuple[Any, ...]:
    """Return what tells whether Django's mail settings were replaced since the last look.

    `override_settings` replaces the whole object, Django's test runner sets EMAIL_BACKEND or MAILERS on it.
    """
    if "django.conf" not in sys.modules:
        return NO_DJANGO
    settings = django_settings()
    if settings is None:
        return NO_DJANGO
    values = vars(settings)
    return (settings, values.get("EMAIL_BACKEND"), values.get("MAILERS"))


def _django_values(settings: Any, rules: Mapping[str, Rule]) -> dict[str, Any]:
    """Return what somebody has set in Django under the names that it shares with us."""
    defaults = sys.modules["django.conf"].global_settings
    values: dict[str, Any] = {}
    for name in rules:
        value = None if name.startswith(PREFIX) else _plain(getattr(settings, name, None))
        if value is None or value == getattr(defaults, name, None) or _is_unset(value, rules[name]):
            continue
        values[name] = value
    return values


def _from_variables(label: str, variables: Mapping[str, str | None], rules: Mapping[str, Rule]) -> Layer:
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in variables.items():
        if name in rules:
            if not (
                value is None
                or _is_unset(value, rules[name])
                or (name, value) == ("EMAIL_BACKEND", DJANGO_SMTP_BACKEND)
            ):
                values[name] = value
        elif name.startswith(PREFIX) and not _is_kubernetes(name, variables):
            problems.append(_unknown(name, label, rules))
    redis = variables.get("REDIS_URL")
    stand_in = {"MAILWORKER_BROKER_URL": (redis, f"REDIS_URL in {label}")} if redis else {}
    return Layer(label, values, stand_in, tuple(problems))


def _is_kubernetes(name: str, variables: Collection[str]) -> bool:
    """Tell whether Kubernetes has set a variable; for a service of another name it sets that one's host as well."""
    found = _KUBERNETES.fullmatch(name)
    if found is None:
        return False
    return found["service"] is None or f"{PREFIX}{found['service']}_SERVICE_HOST" in variables


def _is_unset(value: Any, rule: Rule) -> bool:
    """True for the empty string that a compose file or a Django project passes on for what nobody has set."""
    return value == "" and isinstance(value, str) and not rule.keeps_empty


def _from_url(layer: Layer) -> Mapping[str, Any]:
    value = layer.values.get("EMAIL_URL")
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    try:
        return parse_email_url(text) if isinstance(text, str) else {}
    except BadValue:
        return MappingProxyType({})  # the rule of EMAIL_URL says what is wrong with it


def _label(layer: Layer, name: str) -> str:
    return f"MAILWORKER in {DJANGO}" if layer.label == DJANGO and name.startswith(PREFIX) else layer.label


def _plain(value: Any) -> Any:
    """Resolve one of Django's lazy strings."""
    functional = sys.modules.get("django.utils.functional")
    return str(value) if functional is not None and isinstance(value, functional.Promise) else value


def _unknown(name: str, label: str, rules: Collection[str]) -> str:
    return (
        f"{name} (from {label}) is no setting of mailworker: {_suggestion(name, {_bare(each): each for each in rules})}"
    )


def _unknown_key(key: Any, rules: Collection[str]) -> str:
    known = {_bare(each): _bare(each) for each in rules if each.startswith(PREFIX)}
    return f"MAILWORKER[{show_wrong(key)}] (from {DJANGO}) is no setting of mailworker: {_suggestion(str(key), known)}"


def _suggestion(name: str, known: Mapping[str, str]) -> str:
    """Look for the nearest name; without the prefix, which would make all of ours alike."""
    close = difflib.get_close_matches(_bare(name.upper()), known, n=1)
    if close:
        return f"did you mean {known[close[0]]}?"
    return "take it out, or look its name up in the README's table of settings."


def _bare(name: str) -> str:
    return name.removeprefix(PREFIX)
