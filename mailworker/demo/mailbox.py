"""What arrived: the sink's folder of `.eml` files, read back.

Files that were there before the demo are left out of account. A file that cannot be read counts as one that came from nobody,
so that it is noticed.
"""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from email.message import EmailMessage as Parsed
from typing import TYPE_CHECKING

from mailworker.testing.part import PartFailed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: The kind and number in a recipient's address.
_RECIPIENT = re.compile(r"([a-z]+)(\d{5})@")


class Mailbox:
    """The folder that a sink keeps its mails in.

    Args:
        folder: it is made if there is none.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise PartFailed(f"--dir: the folder {folder} cannot be made: {why}; name another one") from error
        self.folder = folder
        self._before = frozenset(folder.glob("*.eml"))

    def count(self) -> int:
        """Return how many mails have come."""
        return len(self._files())

    def mails(self) -> Iterator[tuple[tuple[str, int], Parsed]]:
        """Return each mail with the (kind, number) that it says it is; ("", 0) if it says nothing."""
        for path in sorted(self._files()):
            mail = message_from_bytes(path.read_bytes(), policy=policy.default)
            assert isinstance(mail, Parsed)
            found = _RECIPIENT.search(str(mail["X-Envelope-To"]))
            yield (found[1], int(found[2])) if found else ("", 0), mail

    def _files(self) -> set[Path]:
        return set(self.folder.glob("*.eml")) - self._before
