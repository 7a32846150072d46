"""What a bulk wants to know again of how it was started, as the text that the spool keeps beside its plan.

It is written where a bulk is started and read by whoever shows it, and by the worker, which asks its suppression list.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkNote:
    """How a bulk was started.

    Attributes:
        template: name of its templates.
        rows: where its rows came from, in words: the path of a file.
        suppress: the list of this bulk alone: an absolute path, or "module:function"; "" = none that a worker can ask.
        ids: the id that nobody's mail has; another one means that its recipients would have other ids than they had.
    """

    template: str = ""
    rows: str = ""
    suppress: str = ""
    ids: str = ""

    def encode(self) -> str:
        """Return it as text."""
        return json.dumps({name: value for name, value in asdict(self).items() if value}, ensure_ascii=False)

    @classmethod
    def decode(cls, text: str) -> BulkNote:
        """Read what `encode` wrote; what another version has added is passed over.

        Raises:
            ValueError: it is none.
        """
        found = json.loads(text or "{}")
        if not isinstance(found, dict):
            raise ValueError("the note of the bulk is no JSON object")  # noqa: TRY004 - a wrong value, as bad JSON is
        names = [field.name for field in fields(cls)]
        return cls(**{name: str(found[name]) for name in names if name in found})
