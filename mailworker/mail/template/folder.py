"""Files beside templates: what an HTML template shows lies in the same folders."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def read(folders: Iterable[Path], name: str) -> bytes | None:
    """Return what a file holds, of the first folder that has it; None if none has, or if it would lie outside of them.

    Args:
        folders: in order.
        name: with "/" between the folders inside.
    """
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        return None
    found = next((folder / path for folder in folders if (folder / path).is_file()), None)
    return None if found is None else found.read_bytes()
