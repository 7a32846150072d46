"""The name of a bulk as an argument."""

from __future__ import annotations

from typing import Any

import click


class BulkName(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on only
    """A name that a bulk may have."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Take one."""
        from mailworker.bulk.planning import check_name

        try:
            check_name(value)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)
        return str(value)
