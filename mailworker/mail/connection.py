"""Which backend a call talks to: by dotted path, by mailer alias, or the default one.

A new instance is built at every look-up; whoever opens it closes it. A path that leads to no backend, an alias that no
setting names and an option that the backend does not take raise `ConfigurationError`. Backends of other projects are
welcome: those that know neither `alias` nor queue options are not given any.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mailworker import settings
from mailworker.errors import ConfigurationError
from mailworker.loop import in_thread
from mailworker.settings import QUEUE_BACKEND, SMTP_BACKEND, backend_path

if TYPE_CHECKING:
    from mailworker.mail.options import QueueOptions
    from mailworker.settings import Mailer

#: Dotted paths of our backends.
_OURS = tuple(backend_path(name) for name in ("queue", "smtp", "console", "filebased", "locmem", "dummy"))
#: The setting from which a mailer that `MAILERS` does not name has its backend.
_IMPLICIT = {"default": "EMAIL_BACKEND", "relay": "EMAIL_DELIVERY_BACKEND"}


def import_backend(path: Any, setting: str = "backend") -> Any:
    """Return the backend class at a dotted path.

    Args:
        path: for instance "mailworker.mail.backends.smtp.EmailBackend".
        setting: where the path comes from, for the error's text.

    Raises:
        ConfigurationError: there is none.
    """
    if not isinstance(path, str):
        raise ConfigurationError(f"{setting} is {path!r}: expected a dotted path such as {SMTP_BACKEND!r}")
    module, _, name = path.rpartition(".")
    try:
        # A look by itself is a fifth of what importing costs where there is nothing to import.
        found = getattr(sys.modules.get(module) or import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        close = difflib.get_close_matches(path, _OURS, n=1, cutoff=0.7)
        hint = (
            f"did you mean {close[0]!r}?" if close else f"expected the dotted path of a class, such as {SMTP_BACKEND!r}"
        )
        missing = _missing(path, error)
        why = f"it needs {missing!r}, which cannot be imported" if missing else "no backend is there"
        raise ConfigurationError(f"{setting} is {path!r}: {why}; {hint}") from error
    if not callable(found):
        raise ConfigurationError(f"{setting} is {path!r}: that is no class; expected one such as {SMTP_BACKEND!r}")
    return found


def _missing(path: str, error: BaseException | None) -> str:
    """Return the module that a backend which is there wants and does not find; "" if the backend itself is not there."""
    name = error.name or "" if isinstance(error, ImportError) else ""
    return "" if f"{path}.".startswith(f"{name}.") else name


def get_connection(backend: str | None = None, fail_silently: bool = False, *args: Any, **kwargs: Any) -> Any:
    """Return a new backend, unopened.

    Args:
        backend: dotted path; None or "" = the `default` mailer's.
        fail_silently: raise nothing for what goes wrong while sending.
        args: passed on to the backend's class.
        kwargs: the same.

    Raises:
        ConfigurationError: no backend is at that path.

    Source: https://docs.djangoproject.com/en/5.2/topics/email/#email-backends
    """
    if not backend:
        return build(settings.current().mailer("default"), *args, fail_silently=fail_silently, **kwargs)
    return import_backend(backend)(*args, fail_silently=fail_silently, **kwargs)


def connection_for(
    using: str | None, *, fail_silently: bool = False, auth_user: str | None = None, auth_password: str | None = None
) -> Any:
    """Return a new backend of a mailer, with a login of its own if one is given.

    Args:
        using: the mailer's alias; None = "default".
        fail_silently: as in `get_connection`.
        auth_user: user name in place of the mailer's; None = the mailer's.
        auth_password: password in place of the mailer's; None = the mailer's.
    """
    login = {"username": auth_user, "password": auth_password}
    given = {name: value for name, value in login.items() if value is not None}
    return build(settings.current().mailer(using or "default"), fail_silently=fail_silently, **given)


def build(mailer: Mailer, *args: Any, fail_silently: bool = False, **kwargs: Any) -> Any:
    """Return a new backend of a mailer; `kwargs` go over the mailer's options.

    Raises:
        ConfigurationError: the backend does not exist, or does not take these options.
    """
    setting = setting_of(mailer)
    cls = import_backend(mailer.backend, setting)
    options = {**mailer.options, **kwargs}
    if kwargs.get("password") is not None and "token" not in kwargs and getattr(cls, "takes_token", False):
        # A login that comes with the call takes the place of the mailer's own, whichever kind that is.
        options.pop("token", None)
    silent = bool(options.pop("fail_silently", False)) or fail_silently
    # An implicit mailer's backend is built as Django builds it: it reads the EMAIL_* names itself.
    if not mailer.is_implicit and _takes_alias(cls):
        options.setdefault("alias", mailer.alias)
    if silent:
        # Not said where it is not asked for: to Django's own backends it is an unknown option of MAILERS.
        options["fail_silently"] = True
    refused = _refusal(cls, len(args), tuple(options))
    if refused:
        raise ConfigurationError(f"{setting}: {mailer.backend} does not take these options: {refused}")
    return cls(*args, **options)


# Both are remembered: looking at a signature costs as much as encoding a message does.


@lru_cache(maxsize=256)
def _refusal(cls: Any, positional: int, names: tuple[str, ...]) -> str:
    """Say why a class does not take so many arguments and options of these names; "" if it does."""
    try:
        inspect.signature(cls).bind(*[None] * positional, **dict.fromkeys(names))
    except TypeError as error:
        return str(error)
    return ""


@lru_cache(maxsize=64)
def _takes_alias(cls: Any) -> bool:
    parameters = inspect.signature(cls).parameters.values()
    return any(p.name == "alias" or p.kind is p.VAR_KEYWORD for p in parameters)


def check_exists(mailer: Mailer) -> None:
    """Make sure that there is a backend at a mailer's path, for a process that does not use it.

    What the backend needs may be only where it is used: another host has its library, or sets its framework up.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        import_backend(mailer.backend, setting_of(mailer))
    except ConfigurationError as error:
        if not _missing(mailer.backend, error.__cause__):
            raise
    except Exception:  # noqa: BLE001 - a module that raises is there
        return


def setting_of(mailer: Mailer) -> str:
    """Return the setting that a mailer comes from, as a person writes it."""
    in_table = f"MAILERS[{mailer.alias!r}]['BACKEND']"
    return _IMPLICIT.get(mailer.alias, in_table) if mailer.is_implicit else in_table


class Mailers(Mapping[str, Any]):
    """The configured mailers by alias; each look-up builds a new backend (Django 6.1's `mailers`)."""

    @property
    def default(self) -> Any:
        """A new backend of the mailer "default"."""
        return self["default"]

    def __getitem__(self, alias: str) -> Any:
        return build(settings.current().mailer(alias))

    def get(self, alias: str, default: Any = None) -> Any:
        """Return a new backend of that mailer, or `default` if no setting names it."""
        if alias not in self:
            return default
        return self[alias]

    def __contains__(self, alias: object) -> bool:
        return alias in settings.current().mailers

    def __iter__(self) -> Iterator[str]:
        return iter(settings.current().mailers)

    def __len__(self) -> int:
        return len(settings.current().mailers)


#: See `Mailers`.
mailers = Mailers()


def hand_over(connection: Any, messages: Sequence[Any], options: QueueOptions) -> int:
    """Give messages to a backend, with queue options if there are any.

    Returns:
        How many it took.

    Raises:
        ConfigurationError: options are given and the backend knows none.
    """
    return connection.send_messages(messages, **_options_for(connection, options)) or 0


async def ahand_over(connection: Any, messages: Sequence[Any], options: QueueOptions) -> int:
    """Give messages to a backend from an event loop: one that can be awaited, or else in a thread.

    Returns:
        How many it took.

    Raises:
        ConfigurationError: options are given and the backend knows none.
    """
    given = _options_for(connection, options)
    send = _awaitable_send(connection)
    if send is None:
        return await in_thread(connection.send_messages, messages, **given) or 0
    return await send(messages, **given) or 0


def _awaitable_send(connection: Any) -> Any:
    """Return a backend's `asend_messages`, None if it has none of its own.

    One that it has from a class whose `send_messages` it overrides, or from a backend that it wraps, is not: what the override
    does (turn mail away from real people on a test system, for instance) would be passed by.
    """
    for owner in (connection, *type(connection).__mro__):
        names = getattr(owner, "__dict__", ())
        if "asend_messages" in names:
            return connection.asend_messages
        if "send_messages" in names:
            return None
    return None


def _options_for(connection: Any, options: QueueOptions) -> dict[str, Any]:
    """Return what a backend's `send_messages` is given beside the messages."""
    given = options.given()
    if not given:
        return {}
    if not getattr(connection, "accepts_options", False):
        backend = f"{type(connection).__module__}.{type(connection).__qualname__}"
        names = ", ".join(f"{name}=" for name in given)
        raise ConfigurationError(
            f"{names} needs a queue, and {backend} is none: leave it out, or send through {QUEUE_BACKEND}"
        )
    return {"options": options}
