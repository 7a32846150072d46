"""Groups of commands that are imported when they are called, so that `--help` and `health` start fast."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module

import click


class Commands(MutableMapping[str, click.Command]):
    """The commands by name, each imported when it is looked up.

    Args:
        homes: name -> module, in which it is `command`, or `module:attribute`.
    """

    def __init__(self, homes: Mapping[str, str]) -> None:
        self._homes = homes
        self._found: dict[str, click.Command] = {}

    def __getitem__(self, name: str) -> click.Command:
        if name not in self._found:
            module, _, attribute = self._homes[name].partition(":")
            found = getattr(import_module(module), attribute or "command")
            assert isinstance(found, click.Command)
            self._found[name] = found
        return self._found[name]

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._found[name] = command

    def __delitem__(self, name: str) -> None:
        del self._found[name]

    def __contains__(self, name: object) -> bool:
        return name in self._homes or name in self._found

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._homes, *self._found]))

    def __len__(self) -> int:
        return len(list(iter(self)))


class InOrder(click.Group):
    """A group whose help names the commands in their own order, not the alphabet's."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names."""
        return list(self.commands)
