"""The letter of a bulk: what each of its mails says before a row of values is filled in, and the rows.

A letter holds the sources of its templates and the images that they show, so that it travels to a worker that has no template,
and a deploy changes nothing of a bulk that is under way. It is stored once; each mail of the bulk is a row. `RowCheck` tells
beforehand which rows become mails. Nothing here knows a queue.
"""

from __future__ import annotations

from mailworker.errors import BadRow
from mailworker.mail.letter.check import Checked, RowCheck
from mailworker.mail.letter.letter import Letter
from mailworker.mail.letter.row import Values, read_row, write_row

__all__ = ["BadRow", "Checked", "Letter", "RowCheck", "Values", "read_row", "write_row"]
