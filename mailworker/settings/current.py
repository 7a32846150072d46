"""The settings of this process: built once, replaced by `configure()`, `adopt()`, `override()`, `reset()` and by Django.

One lock covers building; reading what is built takes none. Settings are built again when Django is configured after the
first look, or when its mail settings are replaced (`override_settings`, Django's test runner).
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from mailworker.lock import ForkSafeLock
from mailworker.settings.model import Settings
from mailworker.settings.source import django_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    #: Values, or what makes them of the settings below.
    Override = Mapping[str, Any] | Callable[[Settings], Mapping[str, Any]]


class _Process:
    """What this process has been told, and what was built of it."""

    def __init__(self) -> None:
        self.lock = ForkSafeLock()
        self.configured: Mapping[str, Any] = {}
        self.adopted: tuple[str, Mapping[str, Any]] = ("", {})
        self.overrides: tuple[Override, ...] = ()
        self.built: tuple[Settings, tuple[Any, ...]] | None = None

    def fresh(self) -> Settings | None:
        """Return what is built, unless Django's settings have been replaced since."""
        built = self.built
        if built is None:
            return None
        settings, old = built
        new = django_state()
        if new is old:
            # No Django here, nor when they were built.
            return settings
        same = len(old) == len(new) and all(one is other for one, other in zip(old, new, strict=True))
        return settings if same else None

    def build(self, configured: Mapping[str, Any], overrides: tuple[Override, ...]) -> Settings:
        """Build, and keep all three together; where that fails, nothing changes."""
        state = django_state()
        given: list[Mapping[str, Any]] = []
        for each in overrides:
            if callable(each):
                given.append(each(Settings(_overrides=given, _adopted=self.adopted, **configured)))
            else:
                given.append(each)
        settings = Settings(_overrides=given, _adopted=self.adopted, **configured)
        self.configured, self.overrides, self.built = configured, overrides, (settings, state)
        return settings


_process = _Process()


def current() -> Settings:
    """Return the settings of this process.

    Raises:
        ConfigurationError: if a setting is wrong; each call raises it again until that is mended.
    """
    settings = _process.fresh()
    if settings is not None:
        return settings
    with _process.lock:
        return _process.fresh() or _process.build(_process.configured, _process.overrides)


def configure(**values: Any) -> Settings:
    """Set settings from Python, before every other source; what an earlier call set stays.

    Args:
        values: settings by their names; durations in seconds or as timedelta.

    Returns:
        The settings as they are now.

    Raises:
        ConfigurationError: if a name or value is wrong; then nothing changes.
    """
    with _process.lock:
        return _process.build({**_process.configured, **values}, _process.overrides)


def adopt(label: str, values: Mapping[str, Any]) -> Settings:
    """Take on the settings that a web framework's application has, in place of those of an earlier call.

    `configure()` goes before them, the environment behind them.

    Args:
        label: how a person knows where they stand, such as "app.config".
        values: settings by their names.

    Returns:
        The settings as they are now.

    Raises:
        ConfigurationError: if a name or value is wrong; then nothing changes.
    """
    with _process.lock:
        was = _process.adopted
        _process.adopted = (label, dict(values))
        try:
            return _process.build(_process.configured, _process.overrides)
        except BaseException:
            _process.adopted = was
            raise


@contextmanager
def overlay(change: Callable[[Settings], Mapping[str, Any]]) -> Iterator[Settings]:
    """Set settings as `override` does, by a function of those below: it is asked again whenever they change.

    Args:
        change: returns settings by their names.

    Raises:
        ConfigurationError: if a name or value is wrong; then nothing changes.
    """
    # An object of its own for each call: two that nest are told apart by it.
    with _laid_over(partial(change)) as settings:
        yield settings


@contextmanager
def override(**values: Any) -> Iterator[Settings]:
    """Set settings for the length of a `with` block or a decorated function, in all threads: for tests.

    Overrides nest, the latest counts first, and each ends by itself.

    Raises:
        ConfigurationError: if a name or value is wrong; then nothing changes.
    """
    with _laid_over(dict(values)) as settings:
        yield settings


@contextmanager
def _laid_over(mine: Override) -> Iterator[Settings]:
    with _process.lock:
        settings = _process.build(_process.configured, (*_process.overrides, mine))
    try:
        yield settings
    finally:
        with _process.lock:
            _process.overrides = tuple(each for each in _process.overrides if each is not mine)
            _process.built = None


def reset() -> None:
    """Forget what `configure()` and `adopt()` set and what was built, so that the next look reads all sources anew: for tests.

    An `override()` that is going on stays.
    """
    with _process.lock:
        _process.configured = {}
        _process.adopted = ("", {})
        _process.built = None
