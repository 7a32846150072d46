"""A Django project laid out as Celery's guide has it; tests copy it to a folder named `shop`."""

from .celery import app as celery_app

__all__ = ("celery_app",)
