"""The README's code blocks, by the names in the comments above them."""

from __future__ import annotations

import re

from tests.processes import ROOT

README = (ROOT / "README.md").read_text()


def block(name: str) -> str:
    """Return the code block below `<!-- run: name -->`."""
    found = re.search(rf"<!-- run: {name} -->\n```\w+\n(.*?)```", README, re.DOTALL)
    assert found is not None, f"README.md has no block {name!r}"
    return found.group(1)
