"""mailworker in a Django project: an app for INSTALLED_APPS, and a backend for EMAIL_BACKEND or MAILERS.

    INSTALLED_APPS += ["mailworker.contrib.django"]
    EMAIL_BACKEND = "mailworker.contrib.django.EmailBackend"

The app brings the system checks and `manage.py mailworker`, and tells mailworker what is Django's: the kind of message that
its backends expect, its database connections, the project's Celery app.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mailworker.contrib.django.backend import EmailBackend

__all__ = ["EmailBackend"]

# A type checker that saw it would take any name for one of ours.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # Not above: apps are imported before there are any, and the backend when the first mail is sent.
        if name != "EmailBackend":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from mailworker.contrib.django.backend import EmailBackend

        return EmailBackend
