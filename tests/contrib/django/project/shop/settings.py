"""The project's settings, for both shapes that Django has for mail."""

import os

import django

SECRET_KEY = "no secret"
DEBUG = False
ALLOWED_HOSTS = ["*"]
USE_TZ = True
ROOT_URLCONF = "shop.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "anymail",
    "mailworker.contrib.django",
]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
    "other": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
}
RESET = {"registration/password_reset_email.html": "{{ protocol }}://{{ domain }}/reset/{{ uid }}/{{ token }}/"}
LOADERS = [("django.template.loaders.locmem.Loader", RESET), "django.template.loaders.app_directories.Loader"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "OPTIONS": {"loaders": LOADERS}}]
LOGGING = {"version": 1, "disable_existing_loggers": False}

DEFAULT_FROM_EMAIL = "shop@example.com"
ADMINS = ["Ada <ada@example.com>"] if django.VERSION >= (6, 0) else [("Ada", "ada@example.com")]
MANAGERS = ADMINS
MAILWORKER = {
    "BROKER_URL": os.environ.get("SHOP_BROKER", "redis://127.0.0.1:1/0"),
    "NAMESPACE": os.environ.get("SHOP_NAMESPACE", "shop"),
}

QUEUE = "mailworker.contrib.django.EmailBackend"
if django.VERSION >= (6, 1):
    MAILERS = {
        "default": {"BACKEND": QUEUE},
        "relay": {"BACKEND": "django.core.mail.backends.smtp.EmailBackend", "OPTIONS": {"host": "127.0.0.1"}},
    }
else:
    EMAIL_BACKEND = QUEUE
    EMAIL_DELIVERY_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
