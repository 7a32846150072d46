from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mailworker import settings

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Write templates; names with __ in place of dots."""

    def written(**files: str | bytes) -> Path:
        for name, content in files.items():
            path = tmp_path / name.replace("__", ".").replace("_in_", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path

    with settings.override(
        MAILWORKER_TEMPLATES=[tmp_path], MAILWORKER_TEMPLATE_ENGINE="jinja2", DEFAULT_FROM_EMAIL="shop@example.com"
    ):
        yield written
