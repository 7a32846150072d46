"""Settings of the example; what is mailworker's stands at the end."""

import os
from pathlib import Path

import django

BASE_DIR = Path(__file__).resolve().parent.parent

SECRET_KEY = os.environ.get("SHOP_SECRET_KEY", "for development only")
DEBUG = os.environ.get("SHOP_DEBUG", "") == "1"
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "shop.urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
STATIC_URL = "static/"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "mailworker.contrib.django",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "shop" / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": BASE_DIR / "db.sqlite3",
        # A request is one transaction: mail goes when it is committed, and not at all when it is rolled back.
        "ATOMIC_REQUESTS": True,
    }
}
LOGIN_REDIRECT_URL = "/"

# Mail.

DEFAULT_FROM_EMAIL = "Shop <shop@example.com>"
RELAY_HOST = os.environ.get("RELAY_HOST", "localhost")
RELAY_PORT = int(os.environ.get("RELAY_PORT", "1025"))

if django.VERSION >= (6, 1):
    MAILERS = {
        "default": {"BACKEND": "mailworker.contrib.django.EmailBackend"},
        "relay": {
            "BACKEND": "mailworker.mail.backends.smtp.EmailBackend",
            "OPTIONS": {"host": RELAY_HOST, "port": RELAY_PORT},
        },
    }
else:
    EMAIL_BACKEND = "mailworker.contrib.django.EmailBackend"
    EMAIL_HOST = RELAY_HOST
    EMAIL_PORT = RELAY_PORT

MAILWORKER = {"BROKER_URL": os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0"), "NAMESPACE": "shop"}
