"""What the tests of the suite share: mail settings for whichever shape this Django has, and a look into the spool."""

import socket
import threading

import django
from django.test import override_settings

import mailworker
from shop import settings as project

LOCMEM = "django.core.mail.backends.locmem.EmailBackend"

#: Nothing listens there.
NOWHERE = "redis://127.0.0.1:1/0"


class SilentRedis:
    """Takes connections, counts them, and never says a word."""

    def __enter__(self):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._socket.getsockname()[1]}/0"
        self.taken = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        for each in (self._socket, *self.taken):
            each.close()

    def _serve(self):
        while True:
            try:
                self.taken.append(self._socket.accept()[0])
            except OSError:
                return


def mail_settings(relay=LOCMEM, options=None, **ours):
    """Send through the queue, though Django's test runner has put its outbox in the place.

    Args:
        relay: what the worker delivers with.
        options: of that.
        ours: settings of mailworker without their prefix.
    """
    values = {"MAILWORKER": {**project.MAILWORKER, **ours}}
    if django.VERSION >= (6, 1):
        deliver = {"BACKEND": relay, "OPTIONS": options or {}}
        values["MAILERS"] = {"default": {"BACKEND": project.QUEUE}, "relay": deliver}
    else:
        values |= {"EMAIL_BACKEND": project.QUEUE, "EMAIL_DELIVERY_BACKEND": relay}
        values |= {f"EMAIL_{name.upper()}": value for name, value in (options or {}).items()}
    return override_settings(**values)


def eager(relay=LOCMEM, options=None, **ours):
    """The same, delivered in this process."""
    return mail_settings(relay, options, TASK_ALWAYS_EAGER=True, **ours)


def is_queued(mail_id):
    """Tell whether the spool has a mail."""
    return mailworker.status(mail_id) is not None


def silently(kwargs=None):
    """Return what asks Django to fail silently; from 6.1 on it has deprecated that, and it works all the same."""
    return {**(kwargs or {}), "fail_silently": True}
