"""The project's settings, from the test's environment."""

import os

SECRET_KEY = "x"
INSTALLED_APPS: list[str] = []
USE_TZ = True
CELERY_BROKER_URL = os.environ["SHOP_BROKER"]
EMAIL_HOST, EMAIL_PORT = os.environ["SHOP_RELAY"].split(":")
MAILWORKER = {"NAMESPACE": os.environ["SHOP_NAMESPACE"]}
