"""Django's settings for the peers: one project, whose backend and whatever else differs come from the environment.

Each peer has its best honest configuration: nothing is logged or kept that it can do without. The database is SQLite in the
folder of the run, with a write-ahead log and no wait for the disk at each commit: quicker than what a production database
would do over a socket, so in favour of those that use it.
"""

from __future__ import annotations

import os
from pathlib import Path

_FOLDER = Path(os.environ["BENCH_FOLDER"])

SECRET_KEY = "of a bench"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [name for name in os.environ.get("BENCH_APPS", "").split(",") if name]
# django-post_office renders every subject and body as a template.
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": _FOLDER / "peer.sqlite3",
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "timeout": 60,
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }
}
MEDIA_ROOT = _FOLDER / "media"
# Without it Django logs each SQL statement into nothing; with DEBUG it would even keep them.
DEBUG = False

EMAIL_BACKEND = os.environ["BENCH_BACKEND"]
EMAIL_HOST = os.environ["EMAIL_HOST"]
EMAIL_PORT = int(os.environ["EMAIL_PORT"])
EMAIL_USE_TLS = os.environ.get("EMAIL_USE_TLS") == "true"
EMAIL_HOST_USER = os.environ.get("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = os.environ.get("EMAIL_HOST_PASSWORD", "")
DEFAULT_FROM_EMAIL = os.environ["DEFAULT_FROM_EMAIL"]

# django-celery-email
CELERY_EMAIL_CHUNK_SIZE = int(os.environ.get("BENCH_CHUNK", "10"))
CELERY_EMAIL_TASK_CONFIG = {"ignore_result": True}

# django-mailer
MAILER_EMAIL_LOG_MESSAGE_DATA = False
MAILER_LOCK_PATH = str(_FOLDER / "django-mailer")

# django-post_office
POST_OFFICE = {
    "BATCH_SIZE": int(os.environ.get("BENCH_BATCH", "100")),
    "THREADS_PER_PROCESS": int(os.environ.get("BENCH_THREADS", "5")),
    # A row for each failure, and none for each mail that went well.
    "LOG_LEVEL": 1,
}
