from __future__ import annotations

import ctypes
from types import SimpleNamespace
from typing import Any

import pytest

from mailworker.queue import allocator


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Return what the C library is told."""
    found: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda name, value: found.append((name, value)))
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    return found


def test_glibc_is_told_from_which_size_on_blocks_are_given_back(said: list[tuple[int, int]]) -> None:
    allocator.give_large_blocks_back()
    assert said == [(-3, 1 << 20), (-1, 4 << 20)]


@pytest.mark.parametrize("name", ["MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES"])
def test_what_somebody_has_set_stays(said: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    allocator.give_large_blocks_back()
    assert said == []


@pytest.mark.parametrize("library", [SimpleNamespace(), OSError("no such library"), TypeError("no name")])
def test_another_c_library_is_left_alone(
    said: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch, library: Any
) -> None:
    def load(name: object) -> Any:
        if isinstance(library, Exception):
            raise library
        return library

    monkeypatch.setattr(ctypes, "CDLL", load)
    allocator.give_large_blocks_back()
    assert said == []
