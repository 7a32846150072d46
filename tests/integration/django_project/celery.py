"""Makes the project's app; it is imported before Django has its settings."""

from celery import Celery

import mailworker

app = Celery("shop")
app.config_from_object("django.conf:settings", namespace="CELERY")
mailworker.install(app)
app.autodiscover_tasks()
