"""Backends of the project's own that cannot deliver: one over the queue, which would queue for ever, and one that is no backend."""

from mailworker.contrib.django.backend import EmailBackend


class Audited(EmailBackend):
    """Where mail is handed over this is welcome."""


class Sender:
    """Sends, but is no backend: a worker opens its connection beforehand and keeps it."""

    def __init__(self, **_):
        pass

    def send_messages(self, messages):
        """Say that all are sent."""
        return len(messages)
