"""The Djangos of these tests: what is run is a project in a process of its own, on each version that is here."""

from __future__ import annotations

import pytest

from tests.djangos import KINDS, python_for


@pytest.fixture(params=KINDS, scope="module")
def python(request: pytest.FixtureRequest) -> str:
    """Return a Python with Django 5.2, then one with Django 6.1 if it is here."""
    return python_for(request.param)
