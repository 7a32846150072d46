"""The Lua scripts of the spool: each operation's file with the files that it needs put before it.

An operation names them in its first line (`-- needs: clock record`). Redis knows a script by its SHA-1; whether it still
has it is for the caller to find out. Nothing is read but the package's own files; a name that is none is a `KeyError`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

_NEEDS = "-- needs: "


@dataclass(frozen=True, slots=True)
class Script:
    """One operation.

    Attributes:
        text: what Redis compiles.
        sha: SHA-1 of the text, by which Redis knows it.
    """

    text: str
    sha: str


def scripts(replaced: Mapping[str, str] = MappingProxyType({})) -> Mapping[str, Script]:
    """Return all operations by name.

    Args:
        replaced: name of a part -> text in its place, such as another clock for a test.
    """
    parts = {**_files(), **replaced}
    return {
        name: _script("\n".join([*(parts[need] for need in _needs(text)), text]))
        for name, text in parts.items()
        if text.startswith(_NEEDS)
    }


def _script(text: str) -> Script:
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _needs(text: str) -> list[str]:
    return text.splitlines()[0].removeprefix(_NEEDS).split()


@cache
def _files() -> Mapping[str, str]:
    folder = resources.files("mailworker.spool") / "scripts"
    return {
        file.name.removesuffix(".lua"): file.read_text(encoding="utf-8")
        for file in folder.iterdir()
        if file.name.endswith(".lua")
    }
