"""A backend of the project's own over mailworker's queue: as one to deliver with it would queue for ever."""

from mailworker.contrib.django.backend import EmailBackend


class Audited(EmailBackend):
    """Where mail is handed over this is welcome."""
