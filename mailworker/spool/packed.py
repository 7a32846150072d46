"""A mail's record as Redis keeps it: a head in JSON for the scripts, and the payload behind it.

What the head's letters mean stands in `scripts/record.lua`. Outcomes are texts there whose first letter is their class: a
script has to know who was accepted, and nothing else of them. With encryption keys a recipient's place is an HMAC of the
address, and what stands there, like the reason, is sealed. A record that was not written so raises `ValueError`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, Protocol

from mailworker.lane import Lane
from mailworker.outcome import Outcome, OutcomeClass, Reply
from mailworker.spool.bulk import Plan
from mailworker.spool.record import UNNAMED, Content, Ledger, Mail, MailStatus, State

#: Version of the layout.
VERSION = 1

_LETTERS = {
    OutcomeClass.ACCEPTED: "a",
    OutcomeClass.DEFERRED: "d",
    OutcomeClass.REJECTED: "r",
    OutcomeClass.IN_DOUBT: "i",
}
_CLASSES = {letter: kind for kind, letter in _LETTERS.items()}

#: What stands before a reason, or behind an outcome's class, that is sealed; what is plain never has it there.
_SEALED = "~"


class Sealing(Protocol):
    """What encrypts a ledger: `mailworker.mail.sealing.Sealer`."""

    @property
    def has_keys(self) -> bool:
        """True if there is a key to seal with."""
        ...

    def seal(self, data: bytes) -> bytes:
        """Encrypt."""
        ...

    def open(self, sealed: bytes) -> bytes:
        """Decrypt; CodecError if no key fits."""
        ...

    def mark(self, data: bytes) -> str:
        """Return a keyed digest in hexadecimal digits."""
        ...


class Packer:
    """Writes and reads records.

    Args:
        sealing: encrypts ledgers, None = they are plain.
    """

    def __init__(self, sealing: Sealing | None = None) -> None:
        self._sealing = sealing if sealing is not None and sealing.has_keys else None

    def head(self, mail: Mail, capped_domain: str | None) -> str:
        """Return the head of a mail that is put into the spool.

        Args:
            mail: the mail.
            capped_domain: its domain if that has limits, in lower case.
        """
        if _is_plain(mail) and capped_domain is None:
            told = mail.domain if self._sealing is None else None
            domain = "" if told is None else f',"w":{_quoted(told)}'
            due = f',"d":"{stamp(mail.due_at)}"' if mail.due_at != mail.created_at else ""
            start = _start(mail.lane.value, mail.mailer)
            return f'{start},"c":"{stamp(mail.created_at)}"{due}{domain}}}'
        head: dict[str, Any] = {"v": VERSION, "l": mail.lane.value, "m": mail.mailer, "c": stamp(mail.created_at)}
        optional: dict[str, Any] = {
            "d": stamp(mail.due_at) if mail.due_at != mail.created_at else None,
            "e": None if mail.expires_at is None else stamp(mail.expires_at),
            "q": 1 if mail.fail_silently else None,
            "h": 1 if mail.on_in_doubt == "hold" else None,
            "g": mail.group,
            # Beside a sealed payload it is told only where the scripts need it.
            "w": mail.domain if self._sealing is None or capped_domain is not None else None,
            "cd": capped_domain,
            "x": [content.name for content in mail.contents] or None,
        }
        head |= {name: value for name, value in optional.items() if value is not None}
        if mail.ledger != _FRESH:
            head |= self._ledger(mail.ledger)
        return encode(head)

    def _ledger(self, ledger: Ledger) -> dict[str, Any]:
        values: dict[str, Any] = {
            "a": ledger.attempts or None,
            "a1": None if ledger.first_attempt_at is None else stamp(ledger.first_attempt_at),
            "n": stamp(ledger.snoozed) if ledger.snoozed else None,
            "p": ledger.lapses or None,
            "i": 1 if ledger.in_doubt else None,
            "r": ledger.in_doubt_resends or None,
            "u": self.reason(ledger.reason) or None,
            "out": self.outcomes(ledger.outcomes) or None,
        }
        return {name: value for name, value in values.items() if value is not None}

    def row_start(self, plan: Plan) -> str:
        """Return what the heads of all rows of a bulk begin with."""
        head: dict[str, Any] = {"v": VERSION, "l": plan.lane.value, "m": plan.mailer, "g": plan.name, "j": 1}
        head |= {"e": stamp(plan.expires_at)} if plan.expires_at is not None else {}
        head |= {"h": 1} if plan.on_in_doubt == "hold" else {}
        return encode(head)[:-1]

    def row_domain(self, domain: str, *, is_capped: bool) -> tuple[str, str]:
        """Return the place that a row's domain counts at, and its sealed name; "" where the place is the name."""
        if self._sealing is None or is_capped:
            return domain, ""
        sealed = base64.b64encode(self._sealing.seal(domain.encode())).decode("ascii")
        return _SEALED + self._sealing.mark(b"domain:" + domain.encode())[:16], sealed

    def read_domain(self, place: str, sealed: Mapping[str, str]) -> str:
        """Return the domain of a place; a sealed one by its name, or as far as it is known."""
        if not place.startswith(_SEALED):
            return place
        if self._sealing is not None and place in sealed:
            with suppress(ValueError):
                return self._sealing.open(base64.b64decode(sealed[place])).decode()
        return f"{UNNAMED}{place[1:9]})"

    def read_said(self, said: str) -> Outcome:
        """Return the outcome that a script was told.

        Raises:
            ValueError: it is none.
        """
        with _as_value_error():
            return self._read_outcome("", _CLASSES[said[:1]], said[1:])[1]

    def outcomes(self, outcomes: Mapping[str, Outcome]) -> dict[str, str]:
        """Return outcomes as the scripts take them."""
        return dict(self._outcome(recipient, outcome) for recipient, outcome in outcomes.items())

    def _outcome(self, recipient: str, outcome: Outcome) -> tuple[str, str]:
        letter = _LETTERS[outcome.kind]
        reply = outcome.reply
        said = f"0 - {outcome.text}" if reply is None else f"{reply.code} {reply.enhanced or '-'} {reply.text}"
        said = said.encode("utf-8", "replace").decode()
        if self._sealing is None:
            return recipient, letter + said
        sealed = self._sealing.seal(json.dumps([recipient, said]).encode())
        return self._sealing.mark(recipient.encode())[:32], letter + _SEALED + base64.b64encode(sealed).decode("ascii")

    def reason(self, reason: str) -> str:
        """Return a reason as the scripts take it."""
        if self._sealing is None or not reason:
            return reason.encode("utf-8", "replace").decode()
        return _SEALED + base64.b64encode(self._sealing.seal(reason.encode("utf-8", "replace"))).decode("ascii")

    def mail(self, mail_id: str, record: bytes, contents: Mapping[str, bytes | None]) -> Mail:
        """Return the mail of a record.

        Args:
            mail_id: its id.
            record: head and payload.
            contents: the bytes of what is kept apart, by name.

        Raises:
            ValueError: it is no record of this layout, or no key opens its ledger.
        """
        return self.mail_and_head(mail_id, record, contents)[0]

    def mail_and_head(
        self, mail_id: str, record: bytes, contents: Mapping[str, bytes | None]
    ) -> tuple[Mail, dict[str, Any]]:
        """Return the mail of a record, and its head as it is written; arguments and errors as for `mail`."""
        head, payload = split(record)
        with _as_value_error():
            return self._mail(mail_id, head, payload, contents), head

    def _mail(
        self, mail_id: str, head: Mapping[str, Any], payload: bytes, contents: Mapping[str, bytes | None]
    ) -> Mail:
        created_at = float(head["c"])
        return Mail(
            id=mail_id,
            payload=payload,
            contents=tuple(Content(name, contents.get(name)) for name in head.get("x", ())),
            mailer=head["m"],
            lane=Lane(head["l"]),
            created_at=created_at,
            due_at=float(head.get("d", created_at)),
            expires_at=None if "e" not in head else float(head["e"]),
            fail_silently="q" in head,
            on_in_doubt="hold" if "h" in head else "resend",
            group=head.get("g"),
            domain=_domain(head),
            is_row="j" in head,
            ledger=self._read_ledger(head),
        )

    def status(self, mail_id: str, record: bytes, ready_at: float | None) -> MailStatus:
        """Return what one can ask of the mail of a record.

        Args:
            mail_id: its id.
            record: the head, with or without a payload behind it.
            ready_at: while it is due: from when on.

        Raises:
            ValueError: as for `mail`.
        """
        head, _ = split(record)
        with _as_value_error():
            return self._status(mail_id, head, ready_at)

    def _status(self, mail_id: str, head: Mapping[str, Any], ready_at: float | None) -> MailStatus:
        ledger = self._read_ledger(head)
        return MailStatus(
            id=mail_id,
            state=State(head.get("s", State.DUE)),
            mailer=head["m"],
            lane=Lane(head["l"]),
            group=head.get("g"),
            attempts=ledger.attempts,
            in_doubt=ledger.in_doubt,
            next_attempt_at=ready_at,
            created_at=float(head["c"]),
            expires_at=None if "e" not in head else float(head["e"]),
            reason=ledger.reason,
            outcomes=ledger.outcomes,
        )

    def _read_ledger(self, head: Mapping[str, Any]) -> Ledger:
        if head.keys() <= _WITHOUT_LEDGER:
            return _FRESH
        return Ledger(
            outcomes=self._read_outcomes(head.get("out", {})),
            attempts=int(head.get("a", 0)),
            first_attempt_at=None if "a1" not in head else float(head["a1"]),
            snoozed=float(head.get("n", 0)),
            lapses=int(head.get("p", 0)),
            in_doubt="i" in head,
            in_doubt_resends=int(head.get("r", 0)),
            reason=self._read_reason(head.get("u", "")),
        )

    def _read_outcomes(self, kept: Mapping[str, str]) -> dict[str, Outcome]:
        found: dict[str, Outcome] = {}
        # What is sealed came after what is not, and stands in another place: keys were set in between.
        for place, text in sorted(kept.items(), key=lambda one: one[1][1:2] == _SEALED):
            recipient, outcome = self._read_outcome(place, _CLASSES[text[:1]], text[1:])
            known = found.get(recipient)
            # One recipient has two places also if the key that marks them was changed in between.
            if known is None or known.kind is not OutcomeClass.ACCEPTED:
                found[recipient] = outcome
        return found

    def _read_outcome(self, place: str, kind: OutcomeClass, said: str) -> tuple[str, Outcome]:
        """Return recipient and outcome. Where these cannot be read, what became of them can still be told."""
        recipient = place
        if said.startswith(_SEALED):
            try:
                opened = b"" if self._sealing is None else self._sealing.open(base64.b64decode(said[1:]))
                recipient, said = json.loads(opened)
            except (ValueError, TypeError):
                return f"{UNNAMED}{place[:12]})", Outcome(kind, None, "its key is not here")
        code, _, rest = said.partition(" ")
        enhanced, _, words = rest.partition(" ")
        if code == "0":
            return recipient, Outcome(kind, None, words)
        if not (code.isascii() and code.isdigit()):
            return recipient, Outcome(kind, None, "what was said of it cannot be read")
        return recipient, Outcome(kind, Reply(int(code), words, None if enhanced == "-" else enhanced))

    def _read_reason(self, kept: str) -> str:
        if not kept.startswith(_SEALED):
            return kept
        if self._sealing is not None:
            with suppress(ValueError):
                return self._sealing.open(base64.b64decode(kept[1:])).decode()
        return "(encrypted with a key that is not here)"


#: JSON without a needless space. `json.dumps` with separators of its own builds an encoder each time, which costs as much as
#: the encoding.
encode = json.JSONEncoder(separators=(",", ":")).encode

_FRESH = Ledger()


def _is_plain(mail: Mail) -> bool:
    """Tell whether nothing of a mail has to be said in its head but where it travels and when: what most are like."""
    return (
        mail.ledger == _FRESH
        and mail.expires_at is None
        and mail.group is None
        and not mail.contents
        and not mail.fail_silently
        and mail.on_in_doubt != "hold"
    )


@lru_cache(maxsize=64)
def _start(lane: str, mailer: str) -> str:
    """Return how each head of a row begins."""
    return encode({"v": VERSION, "l": lane, "m": mailer})[:-1]


#: Domains come again and again: to write one takes as long as to write the rest of a plain head.
_quoted = lru_cache(maxsize=1024)(encode)


def _domain(head: Mapping[str, Any]) -> str | None:
    domain: str | None = head.get("w")
    return None if domain is not None and domain.startswith(_SEALED) else domain


_WITHOUT_LEDGER = frozenset(
    ["v", "l", "m", "c", "d", "e", "q", "h", "g", "o", "w", "cd", "x", "j", "s", "f", "t", "y", "k", "z", "pb", "b"]
)


@contextmanager
def _as_value_error() -> Iterator[None]:
    """Turn whatever a head of another shape makes of reading it into the one error that callers know."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ArithmeticError) as error:
        # No `from error`: its text may hold a piece of the record.
        raise ValueError(f"the record is malformed: {type(error).__name__} while it was read") from None


def stamp(seconds: float) -> str:
    """Return a time as the scripts keep it: seconds with six decimals."""
    return f"{seconds:.6f}"


def split(record: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the head and the payload of a record.

    Raises:
        ValueError: it is no record of this layout.
    """
    text, mark, payload = record.partition(b"\n")
    try:
        head = json.loads(text)
    except (ValueError, RecursionError):
        head = None
    if not mark or not isinstance(head, dict) or head.get("v") != VERSION:
        raise ValueError("the bytes are no record of a mail")
    return head, payload


def names_of(record: bytes) -> list[str]:
    """Return the names of the contents that a record mentions, each once.

    Raises:
        ValueError: it is no record of this layout.
    """
    # Most mails have none: then the head need not be read for it. In a payload these letters mean nothing.
    if record.find(b'"x":', 0, max(record.find(b"\n"), 0)) < 0:
        return []
    head, _ = split(record)
    return list(dict.fromkeys(head.get("x", ())))
