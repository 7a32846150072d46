"""mailworker in a Flask application: its settings from `app.config`, its command line as `flask mailworker`.

Settings are one for a process. They are those of the application that was set up last; a second one whose settings are others is a
`ConfigurationError`, unless one of the two is under test (`app.testing`). They are read when the application is set up, and again
when a context of it finds that `app.config` has changed.

Nothing here belongs to a request: connections to the queue are the process's, for all its threads, and so there is nothing to tear down
after one. Under `app.testing`, mail goes the whole way within the process, and ends in `mailworker.outbox`.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

from flask import Flask, appcontext_pushed

from mailworker import settings
from mailworker.errors import ConfigurationError
from mailworker.lock import ForkSafeLock
from mailworker.settings import QUEUE_BACKEND, backend_path
from mailworker.settings.model import RULES

#: How people know where these settings stand.
_LABEL = "app.config"

#: Flask-Mail's names -> what to write.
_FLASK_MAIL = {
    "MAIL_SERVER": "EMAIL_HOST",
    "MAIL_PORT": "EMAIL_PORT",
    "MAIL_USERNAME": "EMAIL_HOST_USER",
    "MAIL_PASSWORD": "EMAIL_HOST_PASSWORD",
    "MAIL_USE_TLS": "EMAIL_USE_TLS",
    "MAIL_USE_SSL": "EMAIL_USE_SSL",
    "MAIL_DEFAULT_SENDER": "DEFAULT_FROM_EMAIL",
}

#: Settings that say what becomes of mail: an application that has one of them is not told what to do under test.
_WAYS = ("EMAIL_BACKEND", "EMAIL_DELIVERY_BACKEND", "MAILWORKER_TASK_ALWAYS_EAGER")

_lock = ForkSafeLock()
#: The application whose settings the process has, and these.
_owner: tuple[weakref.ref[Flask], Mapping[str, Any]] | None = None


class Mailworker:
    """The extension.

    Args:
        app: the application; None = `init_app` is called later.
    """

    def __init__(self, app: Flask | None = None) -> None:
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Take the settings from `app.config`, and add the command `flask mailworker`.

        Args:
            app: the application, with its configuration loaded.

        Raises:
            ConfigurationError: a setting is wrong, is one of Flask-Mail's or a Django project's, or another application of this process has others.
        """
        if not isinstance(app, Flask):
            raise ConfigurationError(
                f"Mailworker.init_app() got {type(app).__name__}, expected a Flask application: write Mailworker(app)"
            )
        _refuse_flask_mail(app)
        _refuse_table(app)
        _adopt(app)
        app.extensions["mailworker"] = self
        appcontext_pushed.connect(_look, app)
        # The one marked exception to the layers: this is where Flask's command line meets ours.
        from mailworker.cli import main

        app.cli.add_command(main, "mailworker")


def _look(app: Flask, **_: Any) -> None:
    """Take the settings anew if somebody has changed `app.config`, as tests do with an application that was made for them."""
    owner = _owner
    if owner is None or owner[1] != _values(app):
        _adopt(app)


def _adopt(app: Flask) -> None:
    global _owner
    values = _values(app)
    with _lock:
        _refuse_other(app, values)
        if _owner is None or _owner[1] != values:
            settings.adopt(_LABEL, values)
        _owner = (weakref.ref(app), values)


def _values(app: Flask) -> dict[str, Any]:
    """Return what an application's configuration says to mailworker."""
    config = app.config
    names = (name for name in config if name in RULES or name.startswith("MAILWORKER_"))
    found = {name: config[name] for name in names if config[name] is not None and config[name] != ""}
    return {**found, **_under_test(found)} if app.testing else found


def _under_test(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what keeps mail within the process."""
    if any(name in found for name in _WAYS):
        return {}
    locmem = backend_path("locmem")
    mailers = found.get("MAILERS")
    kept: dict[str, Any] = {"MAILWORKER_TASK_ALWAYS_EAGER": True}
    if not isinstance(mailers, Mapping):
        return {**kept, "EMAIL_DELIVERY_BACKEND": locmem}
    stand_ins = {
        alias: mailer if mailer.get("BACKEND") == QUEUE_BACKEND else {"BACKEND": locmem}
        for alias, mailer in mailers.items()
        if isinstance(mailer, Mapping)
    }
    return {**kept, "MAILERS": {**mailers, **stand_ins}}


def _refuse_other(app: Flask, values: Mapping[str, Any]) -> None:
    if _owner is None:
        return
    other, its = _owner[0](), _owner[1]
    if other is None or other is app or other.testing or app.testing:
        return
    # Names only: some of the values are secrets.
    differ = sorted(name for name in {*values, *its} if values.get(name) != its.get(name))
    if differ:
        raise ConfigurationError(
            f"app {app.name!r} has other settings than app {other.name!r} for {', '.join(differ)}, and a process has one set "
            "of mailworker's settings: give both the same, and name a mailer of MAILERS with using= where their mail differs"
        )


def _refuse_table(app: Flask) -> None:
    if "MAILWORKER" in app.config:
        raise ConfigurationError(
            f"MAILWORKER (from {_LABEL}) is how a Django project writes its settings, and is not read here: write each by itself, for "
            "instance MAILWORKER_BROKER_URL"
        )


def _refuse_flask_mail(app: Flask) -> None:
    if "mail" in app.extensions:
        return  # Flask-Mail is here and reads them
    for theirs, ours in _FLASK_MAIL.items():
        if app.config.get(theirs) is not None and app.config.get(ours) is None:
            raise ConfigurationError(
                f"{theirs} (from {_LABEL}) is Flask-Mail's name, and mailworker does not read it: write {ours}"
            )
