"""What is read of the mails in a Redis, and what becomes of one whose record cannot be read.

Somebody may have written over a record, or deleted it. Then an index still knows where the mail stands, and it is made a dead
letter with its raw bytes, or is taken out of the books; the log tells of it. What a record means is `packed`'s to know, where
the indexes have it `places`'s. Any call may raise `SpoolUnavailable`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from redis import Redis
from redis.exceptions import ResponseError

from mailworker import log
from mailworker.spool.calls import Calls, Primary
from mailworker.spool.packed import Packer, names_of, split
from mailworker.spool.places import Place, place_of, places
from mailworker.spool.record import Mail, MailStatus, State

T = TypeVar("T")

logger = log.get(__name__)

#: Ids that are looked at in one round trip when a list is made for people.
_PAGE = 500


class Reader:
    """Reads mails.

    Args:
        server: leads to the Redis.
        prefix: what all keys begin with.
        calls: runs the scripts.
        packer: reads the records.
    """

    def __init__(self, server: Primary, prefix: str, calls: Calls, packer: Packer) -> None:
        self._server = server
        self._prefix = prefix
        self._calls = calls
        self._packer = packer

    def get(self, mail_id: str) -> Mail | None:
        """Return a mail, None if it is not known."""
        return self._read(mail_id, lambda record, _: self.mail(mail_id, record, {}), whole=True)

    def status(self, mail_id: str) -> MailStatus | None:
        """Return what became of a mail, None if it is not known."""
        return self._read(mail_id, self._status_of(mail_id), whole=False)

    def statuses(self, mail_ids: Iterable[str]) -> Iterator[MailStatus]:
        """Yield what became of mails, those that are known, some hundred in each round trip."""
        ids = list(mail_ids)
        for at in range(0, len(ids), _PAGE):
            page = ids[at : at + _PAGE]
            found = self._calls.run_many("get", [(mail_id, 0) for mail_id in page])
            for mail_id, answer in zip(page, found, strict=True):
                try:
                    status = opened(answer, self._status_of(mail_id))
                except ValueError:
                    status = self.status(mail_id)
                if status is not None:
                    yield status

    def statuses_and_payloads(self, mail_ids: Sequence[str]) -> Iterator[tuple[MailStatus, bytes]]:
        """Yield what became of mails, and their payloads, those that are known; in one round trip."""
        for mail_id, answer in zip(mail_ids, self._calls.run_many("get", [(one, 1) for one in mail_ids]), strict=True):
            try:
                found = opened(answer, self._with_payload(mail_id))
            except ValueError:
                found = self._read(mail_id, self._with_payload(mail_id), whole=True)
            if found is not None:
                yield found

    def in_state(self, state: State) -> list[MailStatus]:
        """Return the mails in a state, oldest first: for people, so a scan of an index is right."""
        found = self._server.run(lambda client: list(places(client, self._prefix, state)))
        standing = {place.id: place for place in found}
        known = {status.id: status for status in self.statuses(standing)}
        for mail_id, place in standing.items():
            if mail_id not in known:
                # Its record has been deleted by hand.
                self.condemn(mail_id, place)
        return sorted((one for one in known.values() if one.state is state), key=lambda one: one.created_at)

    def mail(self, mail_id: str, record: bytes, contents: dict[str, bytes | None]) -> Mail:
        """Return the mail of a record.

        Args:
            mail_id: its id.
            record: head and payload.
            contents: those that are known already; what it needs beside them is fetched, one in each round trip.

        Raises:
            ValueError: it cannot be read.
        """
        return self.mail_and_head(mail_id, record, contents)[0]

    def mail_and_head(
        self, mail_id: str, record: bytes, contents: dict[str, bytes | None]
    ) -> tuple[Mail, dict[str, Any]]:
        """Return the mail of a record, and its head as it is written; arguments and errors as for `mail`."""
        for name in names_of(record):
            if name not in contents:
                contents[name] = self._content(name)
        return self._packer.mail_and_head(mail_id, record, contents)

    def ask(self, name: str, mail_id: str) -> bool:
        """Run a script that does something to one mail for a person, once its record is one.

        Args:
            name: of the script, which answers 1 if it is done, 0 if it may not be, -1 if the record cannot be read.
            mail_id: of the mail.
        """

        def asked() -> int:
            return int(self._calls.run(name, mail_id))

        fine = asked()
        if fine < 0 and self._mend(mail_id):
            fine = asked()
        return fine > 0

    def condemn(self, mail_id: str, place: Place | None = None) -> bool:
        """Make a dead letter of a mail whose record cannot be used, or take it out of the books if that is gone.

        Args:
            mail_id: its id.
            place: where an index has it; None if only its bytes in Python's eyes are none, and it stands where they say.

        Returns:
            True if it is a dead letter now.
        """
        where = ("", "", "", "") if place is None else (place.row, place.stream, place.state.value, place.entry)
        is_dead = bool(self._calls.run("condemn", mail_id, *where, "its record cannot be read"))
        if is_dead:
            tell_unreadable(mail_id)
        return is_dead

    def _mend(self, mail_id: str) -> bool:
        """Condemn a mail whose record the scripts cannot read; False if nobody knows where it stands."""
        place = self._server.run(lambda client: place_of(client, self._prefix, mail_id))
        return place is not None and self.condemn(mail_id, place)

    def _read(self, mail_id: str, read: Callable[[bytes, float | None], T], *, whole: bool) -> T | None:
        """Return what is read of a mail's record and of when it is due; if that fails, of the dead letter made of it.

        Args:
            mail_id: of the mail.
            read: gets the record, and from when it is due.
            whole: the record is needed with its payload, else its head alone.
        """
        answer = self._calls.run("get", mail_id, int(whole))
        try:
            return opened(answer, read)
        except ValueError:
            if not (self._mend(mail_id) if len(answer) == 1 else self.condemn(mail_id)):
                return None
        return opened(self._calls.run("get", mail_id, int(whole)), read)

    def _with_payload(self, mail_id: str) -> Callable[[bytes, float | None], tuple[MailStatus, bytes]]:
        return lambda record, ready_at: (self._packer.status(mail_id, record, ready_at), split(record)[1])

    def _status_of(self, mail_id: str) -> Callable[[bytes, float | None], MailStatus]:
        return lambda record, ready_at: self._packer.status(mail_id, record, ready_at)

    def _content(self, name: str) -> bytes | None:
        key = f"{self._prefix}content:{name}"

        def fetch(client: Redis) -> Any:
            try:
                return client.hget(key, "bytes")
            except ResponseError as error:
                if str(error).startswith("WRONGTYPE"):
                    return None
                raise

        found: bytes | None = self._server.run(fetch)
        return found


def tell_lost(mail_id: str) -> None:
    """Log that a mail's record was deleted while it was queued."""
    logger.error("mail is lost: its record was deleted: mail_id=%s", mail_id, extra={"mail_id": mail_id})


def tell_unreadable(mail_id: str) -> None:
    """Log that a mail is a dead letter because its record cannot be read."""
    logger.error("mail is dead: its record cannot be read: mail_id=%s", mail_id, extra={"mail_id": mail_id})


def opened(answer: Any, read: Callable[[bytes, float | None], T]) -> T | None:
    """Return what is read of a script's answer to `get`, None if it knows no such mail.

    Raises:
        ValueError: its record cannot be read.
    """
    if not answer:
        return None
    if len(answer) == 1:
        raise ValueError("the scripts cannot read it")
    return read(answer[0], float(answer[1]) if answer[1] else None)
