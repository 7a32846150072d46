"""Makes messages of the rows of bulks in a worker: their letters, fetched once and kept, and the lists of those who want no mail.

What is wrong with one row is that row's end; what no row of the bulk can do without (its letter, a library, a list that
cannot be asked) withholds the bulk, since another worker, or a person, may mend it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mailworker.delivery.attempt import Unfit, Unwanted, Withheld
from mailworker.errors import (
    BadHeaderError,
    BadRow,
    CodecError,
    ConfigurationError,
    InvalidAddress,
    SuppressionUnavailable,
    TemplateError,
)
from mailworker.mail.sealing import Sealer
from mailworker.queue.compose import tools
from mailworker.settings import Settings
from mailworker.spool.base import Spool
from mailworker.spool.record import Mail

if TYPE_CHECKING:
    from mailworker.mail.letter import Letter, Values
    from mailworker.mail.message import EmailMessage

#: Letters that are kept: bulks that take turns in one worker.
_KEPT = 32

#: Returns the letter and the plan's note of a bulk, None if it is not known.
Fetch = Callable[[str], tuple[bytes, str] | None]


@dataclass(frozen=True, slots=True)
class _Kept:
    letter: Letter
    note: str


class Letters:
    """The letters that a worker's process has read. Safe to share between threads.

    Args:
        conf: the settings.
        sealer: opens letters and rows.
    """

    def __init__(self, conf: Settings, sealer: Sealer) -> None:
        self.conf = conf
        self.sealer = sealer
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def rows(self, fetch: Fetch, now: Callable[[], float]) -> Rows:
        """Return what opens the rows of a spool.

        Args:
            fetch: gets letters from it.
            now: its clock, seconds since the epoch.
        """
        return Rows(self, fetch, now)

    def opened(self, bulk: str, row: bytes, fetch: Fetch) -> tuple[_Kept, Values]:
        """Return a bulk's letter and note, and the values of one of its rows.

        Raises:
            CodecError: it is no row of this bulk's letter, or that is gone.
            Withheld: its letter cannot be used here.
        """
        from mailworker.mail.letter import read_row

        # The letter first: what is missing for it, a key say, is no row's fault.
        kept = self._kept.get(bulk) or self._fetched(bulk, fetch)
        letter_id, values = read_row(row, self.sealer)
        if kept.letter.id != letter_id:
            # A name that was used before, and forgotten.
            kept = self._fetched(bulk, fetch)
            if kept.letter.id != letter_id:
                raise CodecError("it is a row of another letter than its bulk has")
        return kept, values

    def _fetched(self, bulk: str, fetch: Fetch) -> _Kept:
        from mailworker.mail.letter import Letter

        found = fetch(bulk)
        if found is None:
            raise CodecError("its bulk's letter is gone")
        try:
            letter = Letter.decode(found[0], self.sealer)
            # Compiled now, so that what is wrong with it is not told of each row.
            _ = letter.fill
        except (CodecError, ConfigurationError, TemplateError) as error:
            raise Withheld(str(error)) from None
        kept = self._kept[bulk] = _Kept(letter, found[1])
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return kept


class Rows:
    """Opens rows, see `mailworker.delivery.attempt.Rows`.

    Args:
        letters: that the process has.
        fetch: gets others.
        now: the spool's clock.
    """

    def __init__(self, letters: Letters, fetch: Fetch, now: Callable[[], float]) -> None:
        self._letters = letters
        self._fetch = fetch
        self._now = now

    def message(self, mail: Mail) -> EmailMessage:
        assert mail.group is not None, "a row is of a bulk"
        kept, values = self._letters.opened(mail.group, mail.payload, self._fetch)
        recipient = _recipient(kept.letter, values)
        self._unless_unwanted(recipient, kept.note)
        try:
            return _message(kept.letter, values, mail, self._now)
        except ConfigurationError as error:
            raise Withheld(str(error)) from None
        except (BadHeaderError, BadRow, InvalidAddress, TemplateError) as error:
            raise Unfit(recipient, str(error)) from None

    def _unless_unwanted(self, recipient: str, note: str) -> None:
        from mailworker.mail.suppression import Suppression

        try:
            if Suppression.for_worker(self._letters.conf, note).holds(recipient):
                raise Unwanted
        except (ConfigurationError, SuppressionUnavailable) as error:
            raise Withheld(str(error)) from None


def message_of_row(conf: Settings, spool: Spool, mail: Mail) -> EmailMessage | None:
    """Return the message of a row for a person to look at, None if it makes none.

    Raises:
        SpoolUnavailable: the spool is away.
    """
    assert mail.group is not None, "a row is of a bulk"

    def fetch(bulk: str) -> tuple[bytes, str] | None:
        found = spool.bulks.letter(bulk)
        return None if found is None else (found, "")

    try:
        kept, values = Letters(conf, tools(conf).sealer).opened(mail.group, mail.payload, fetch)
        return _message(kept.letter, values, mail, spool.now)
    except (Withheld, BadHeaderError, BadRow, CodecError, ConfigurationError, InvalidAddress, TemplateError):
        return None


def _message(letter: Letter, values: Values, mail: Mail, now: Callable[[], float]) -> EmailMessage:
    assert mail.group is not None, "a row is of a bulk"
    first = mail.ledger.first_attempt_at
    # Each further attempt has the date of the first one.
    date = datetime.fromtimestamp(now() if first is None else first, UTC)
    return letter.message(values, mail_id=mail.id, bulk=mail.group, date=date)


def _recipient(letter: Letter, values: Values) -> str:
    from mailworker.mail.address import envelope_address
    from mailworker.mail.letter.filled import recipient_of

    try:
        return envelope_address(recipient_of(letter, letter.named(values)))
    except (BadRow, InvalidAddress):
        raise CodecError("the row names no recipient") from None
