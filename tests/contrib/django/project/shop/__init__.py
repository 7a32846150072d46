"""A Django project whose own tests try mailworker in Django; `tests/contrib/django` runs them, on each version of Django."""
