"""Ids of mails as they are typed: whole ones, since a spool finds no mail by the beginning of its id."""

from __future__ import annotations

import re
from typing import Any

import click

_WHOLE = re.compile(r"[0-9a-f]{32}")


class MailId(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on only
    """A mail's id, in any case of letters."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read one."""
        found = str(value).strip().lower()
        if not _WHOLE.fullmatch(found):
            self.fail(
                f"{value!r} is no id: expected 32 hexadecimal digits, as `mailworker send` prints them.", param, ctx
            )
        return found
