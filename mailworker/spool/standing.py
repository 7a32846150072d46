"""How the record of a leased mail stands in Redis, as the worker that has it knows it: so a step need not read it again.

A claim hands the record over; from then on nobody but the lease's holder changes it, or the lease is lost. So the holder can
say what it is to become, and the script only compares (`scripts/step.lua`). What is not as plain as that (a mail of a capped
domain, a probe, one with contents of its own) is for the general scripts: then there are no arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailworker.spool.packed import encode

#: Fields of a head with which `done` has more to do than to write the record.
_NOT_PLAIN = frozenset({"cd", "pb", "x"})

#: The same of `mark`.
_NOT_PLAIN_TO_MARK = frozenset({"cd", "pb"})

#: What `done` takes out of a head.
_OVER = frozenset({"k", "z", "p", "b", "u"})

#: In place of the arguments of a mail that is not there.
NOBODY = ("", "", "", "", "", "", "")


class Standing:
    """The record of one leased mail.

    Args:
        mail_id: its id.
        text: the head as the script wrote it.
        head: the same, read.
    """

    __slots__ = ("_head", "_id", "_name", "_row", "_text")

    def __init__(self, mail_id: str, text: bytes, head: Mapping[str, Any]) -> None:
        self._id = mail_id
        self._text: str | None = text.decode()
        self._head = head
        self._row = f"{head['l']}/{head['m']}"
        stream = f"{head.get('cd', '')}/{head.get('g', '')}"
        self._name = mail_id if stream == "/" else f"{mail_id}\n{stream}"

    def lost_from_sight(self) -> None:
        """Note that the record may have changed in a way that is not known here."""
        self._text = None

    def to_mark(self) -> tuple[Any, ...] | None:
        """Return the arguments of a `mark`; None if the general script has to be asked."""
        if self._text is None or not _NOT_PLAIN_TO_MARK.isdisjoint(self._head) or "k" in self._head:
            return None
        head = self._marked()
        if "a1" in head:
            before, after = encode(head), ""
        else:
            before, after = f'{encode(head)[:-1]},"a1":"', '"}'
        group = head.get("g", "")
        return self._id, self._row, self._name, self._text, before, after, group, head.get("o", 0)

    def marked(self, at: str) -> None:
        """Note that the `mark` was made, at this time of the spool's."""
        head = self._marked()
        if "a1" in head:
            self._text = encode(head)
        else:
            self._text = f'{encode(head)[:-1]},"a1":"{at}"}}'
            head["a1"] = at
        self._head = head

    def to_done(self, outcomes: Mapping[str, str]) -> tuple[Any, ...] | None:
        """Return the arguments of a `done`; None if the general script has to be asked.

        Args:
            outcomes: as the scripts take them.
        """
        if self._text is None or not _NOT_PLAIN.isdisjoint(self._head) or "k" not in self._head:
            return None
        known = self._head.get("out")
        merged = {**known, **outcomes, **_accepted(known)} if known else outcomes
        if not merged or not all(outcome.startswith("a") for outcome in merged.values()):
            return None
        head = {name: value for name, value in self._head.items() if name not in _OVER}
        head |= {"s": "sent", "y": "done", "out": merged}
        before = f'{encode(head)[:-1]},"f":"'
        return self._id, self._row, self._name, self._text, before, '"}', head.get("g", "")

    def _marked(self) -> dict[str, Any]:
        return {**self._head, "a": self._head.get("a", 0) + 1, "k": 1}


def _accepted(outcomes: Mapping[str, str]) -> dict[str, str]:
    """Return those outcomes that nothing overwrites."""
    return {place: outcome for place, outcome in outcomes.items() if outcome.startswith("a")}
