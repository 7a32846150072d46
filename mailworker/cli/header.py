"""Headers as people type them: `NAME=VALUE`."""

from __future__ import annotations

from collections.abc import Iterable

import click


def read_headers(given: Iterable[str]) -> dict[str, str]:
    """Return headers by their names.

    Args:
        given: each as NAME=VALUE.

    Raises:
        UsageError: one is none, or a name comes twice.
    """
    headers: dict[str, str] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name.strip():
            raise click.UsageError(f"--header is {one!r}: expected NAME=VALUE, such as X-Campaign=spring.")
        if name.strip().lower() in (known.lower() for known in headers):
            raise click.UsageError(f"--header names {name.strip()} twice: a message has one value for a header here.")
        headers[name.strip()] = value.strip()
    return headers
