"""How the record of a leased mail stands in Redis, as the worker that has it knows it: so a step need not read it again.

A claim hands the record over; from then on nobody but the lease's holder changes it, or the lease is lost. So the holder can
say what it is to become, and the script only compares (`scripts/step.lua`). What is not as plain as that (a mail of a capped
domain, a probe, one with contents of its own) is for the general scripts: then there are no arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mailworker.spool.packed import encode

#: Fields with which `mark` and `done` have more to do than to write the record.
_NOT_PLAIN = frozenset({"cd", "pb"})

#: What `done` takes out of a head.
_OVER = frozenset({"k", "z", "p", "b", "u"})

#: All that a head says at a mail's first attempt: what a step adds to it then stands behind it, and nothing else changes. To
#: write such a head anew would take as long as the rest of a step's arguments.
_FIRST = frozenset({"v", "l", "m", "c", "d", "e", "q", "h", "g", "o", "w", "x", "j", "s", "t"})

#: As the script writes it. Within a text of the head there are no quotation marks without a backslash.
_LEASED, _SENT = '"s":"leased"', '"s":"sent"'

#: In place of the arguments of a mail that is not there.
NOBODY = ("", "", "", "", "", "", "", "", "")


class Standing:
    """The record of one leased mail.

    Args:
        mail_id: its id.
        text: the head as the script wrote it.
        head: the same, read.
        slot: whose seat lasts as long as the lease; "" = there is none.
    """

    __slots__ = ("_head", "_id", "_is_first", "_is_known", "_marked_at", "_name", "_row", "_slot", "_text")

    def __init__(self, mail_id: str, text: bytes, head: Mapping[str, Any], slot: str = "") -> None:
        self._id = mail_id
        self._text = text.decode()
        self._head = head
        self._slot = slot
        self._is_first = head.keys() <= _FIRST and _LEASED in self._text
        self._is_known = _NOT_PLAIN.isdisjoint(head) and "k" not in head
        self._marked_at: str | None = None
        self._row = f"{head['l']}/{head['m']}"
        stream = f"{head.get('cd', '')}/{head.get('g', '')}"
        self._name = mail_id if stream == "/" else f"{mail_id}\n{stream}"

    def lost_from_sight(self) -> None:
        """Note that the record may have changed in a way that is not known here."""
        self._is_known = False

    def to_mark(self) -> tuple[Any, ...] | None:
        """Return the arguments of a `mark`; None if the general script has to be asked."""
        if not self._is_known or self._marked_at is not None:
            return None
        before, after = self._as_marked()
        head = self._head
        group, epoch = head.get("g", ""), head.get("o", 0)
        return self._id, self._row, self._name, self._text, before, after, group, epoch, self._slot

    def marked(self, at: str) -> None:
        """Note that the `mark` was made, at this time of the spool's."""
        self._marked_at = at

    def to_done(self, outcomes: Mapping[str, str]) -> tuple[Any, ...] | None:
        """Return the arguments of a `done`; None if the general script has to be asked.

        Args:
            outcomes: as the scripts take them.
        """
        if not self._is_known or self._marked_at is None or "x" in self._head:
            return None
        known = self._head.get("out")
        merged = {**known, **outcomes, **_accepted(known)} if known else outcomes
        if not merged or not all(outcome.startswith("a") for outcome in merged.values()):
            return None
        before, after = self._as_marked()
        stands = before + self._marked_at + after if after else before
        if self._is_first:
            begun = self._text.replace(_LEASED, _SENT, 1)[:-1]
            done = f'{begun},"a":1,"a1":"{self._marked_at}","y":"done","out":{encode(merged)},"f":"'
        else:
            head = {name: value for name, value in self._head.items() if name not in _OVER}
            head |= {"a": self._attempt, "s": "sent", "y": "done", "out": merged}
            head.setdefault("a1", self._marked_at)
            done = f'{encode(head)[:-1]},"f":"'
        return self._id, self._row, self._name, stands, done, '"}', self._head.get("g", ""), *self._counts(known)

    def _counts(self, known: Mapping[str, str] | None) -> tuple[str, str]:
        """Return the domain that a row counts for, and the class of its outcome so far; "" for any other mail."""
        if "j" not in self._head:
            return "", ""
        return self._head["w"], next(iter(known.values()), "")[:1] if known else ""

    @property
    def _attempt(self) -> int:
        return int(self._head.get("a", 0)) + 1

    def _as_marked(self) -> tuple[str, str]:
        """Return the head with its mark, up to the time of the first attempt, and what comes behind; that is "" if it is known."""
        if self._is_first:
            return f'{self._text[:-1]},"a":1,"k":1,"a1":"', '"}'
        head = encode({**self._head, "a": self._attempt, "k": 1})
        return (head, "") if "a1" in self._head else (f'{head[:-1]},"a1":"', '"}')


def _accepted(outcomes: Mapping[str, str]) -> dict[str, str]:
    """Return those outcomes that nothing overwrites."""
    return {place: outcome for place, outcome in outcomes.items() if outcome.startswith("a")}
