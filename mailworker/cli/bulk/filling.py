"""How far a list is read: a bar on the terminal, and nothing where nobody looks on."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from mailworker.bulk.filled import Progress


@contextmanager
def bar(*, as_json: bool) -> Iterator[Callable[[Progress], None] | None]:
    """Show a bar on standard error while a list is read; None where it would be in a program's way."""
    if as_json or not sys.stderr.isatty() or find_spec("rich") is None:
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=None), TaskProgressColumn())
    with Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("0 rows", total=None)

        def tell(progress: Progress) -> None:
            total = None if progress.share is None else 1.0
            shown.update(task, description=described(progress), total=total, completed=progress.share or 0.0)

        yield tell


def described(progress: Progress) -> str:
    """Return in words how far it is."""
    bad = f", {progress.bad:,} bad" if progress.bad else ""
    return f"{progress.read:,} rows{bad}"
