"""A bulk that somebody wants, before anything has gone anywhere: its letter, its list, and what reads the one for the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from mailworker.bulk.filled import BadLine
from mailworker.bulk.filling import Reader
from mailworker.bulk.planning import Wish
from mailworker.bulk.row_id import row_ids
from mailworker.bulk.rows import Rows, Source, open_rows
from mailworker.bulk.rows import named as rows_named
from mailworker.errors import RowsError
from mailworker.lane import Lane
from mailworker.mail.bulk_note import BulkNote
from mailworker.mail.letter import Letter, RowCheck
from mailworker.mail.suppression import Suppress, Suppression
from mailworker.mail.suppression import named as list_named
from mailworker.queue import client
from mailworker.queue.compose import tools
from mailworker.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailing:
    """What the mails of a bulk say, and whom they go to.

    Attributes:
        wish: the bulk, as it was asked for.
        letter: what they say.
        rows: the list.
        mailer: alias of the mailer that delivers them.
        suppress: who wants none, for this bulk alone.
        strict: the first bad row ends it.
        encoding: of a file of rows.
        delimiter: of a CSV file.
    """

    wish: Wish
    letter: Letter
    rows: Rows
    mailer: str
    suppress: Suppress | None = None
    strict: bool = False
    encoding: str = "utf-8"
    delimiter: str | None = None

    def note(self, conf: Settings) -> BulkNote:
        """Return what the bulk wants to know again.

        Args:
            conf: the settings.
        """
        return BulkNote(
            template=self.letter.template,
            rows=rows_named(self.rows),
            suppress=list_named(self.suppress),
            ids=row_ids(self.wish.name, tools(conf).sealer)(""),
        )

    def reader(self, conf: Settings, on_bad: Callable[[BadLine], None] | None = None) -> Reader:
        """Return what makes mails of its rows.

        Args:
            conf: the settings.
            on_bad: is told each bad row.

        Raises:
            ConfigurationError: a library or a key is missing that the letter needs.
            SuppressionUnavailable: nobody can say who wants mail.
        """
        sealer = tools(conf).sealer
        return Reader(
            self.letter,
            RowCheck(self.letter, conf.MAILWORKER_MAX_MESSAGE_SIZE),
            sealer,
            row_ids(self.wish.name, sealer),
            Suppression.for_enqueue(conf, self.suppress),
            strict=self.strict,
            on_bad=on_bad,
        )

    @contextmanager
    def opened(self, reader: Reader) -> Iterator[Source]:
        """Open its list.

        Args:
            reader: of the rows.

        Raises:
            RowsError: it is no list, or has no column that each mail needs.
        """
        with open_rows(self.rows, encoding=self.encoding, delimiter=self.delimiter) as source:
            if source.columns is not None:
                _check_columns(source.columns, self.letter, reader.needed)
            yield source


def mailing(
    name: str,
    template: str,
    rows: Rows,
    *,
    at: datetime | None = None,
    delay: timedelta | float | None = None,
    rate: float | str | None = None,
    between: str | None = None,
    lane: Lane | str = Lane.BULK,
    using: str | None = None,
    to: str = "email",
    from_email: str | None = None,
    reply_to: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    language: str | None = None,
    expires: datetime | timedelta | float | None = None,
    on_in_doubt: Literal["resend", "hold"] | None = None,
    suppress: Suppress | None = None,
    strict: bool = False,
    wait: bool = True,
    max_bounces: float | None = 0.1,
    encoding: str = "utf-8",
    delimiter: str | None = None,
) -> Mailing:
    """Look over what was asked, and load the templates; the arguments are those of `send`."""
    if strict and not wait:
        raise ValueError("strict and no wait contradict each other: mails would have gone when a bad row is found")
    wish = Wish(
        name=name,
        at=at,
        delay=delay,
        rate=rate,
        between=between,
        lane=lane,
        expires=expires,
        on_in_doubt=on_in_doubt,
        wait=wait,
        max_bounces=max_bounces,
    )
    mailer = client.delivery_mailer(using)
    letter = Letter.load(
        template,
        to=to,
        from_email=from_email,
        reply_to=reply_to,
        headers=headers,
        language=language,
        # In another lane it may be what nobody asks to be spared, as a recall is.
        manners=Lane(wish.lane) is Lane.BULK,
    )
    return Mailing(
        wish=wish,
        letter=letter,
        rows=rows,
        mailer=mailer,
        suppress=suppress,
        strict=strict,
        encoding=encoding,
        delimiter=delimiter,
    )


def _check_columns(columns: Sequence[str], letter: Letter, needed: Sequence[str]) -> None:
    """Make sure that a list has what each of its mails needs: else each row would be told to be bad.

    Raises:
        RowsError: a column is missing.
    """
    has = f"the list has {', '.join(columns)}"
    if letter.to not in columns:
        raise RowsError(f"there is no column {letter.to!r} with the recipient: {has}; name the right one (to, --to)")
    missing = [name for name in needed if name not in columns]
    if missing:
        are = "is no column" if len(missing) == 1 else "are no columns"
        names = ", ".join(map(repr, missing))
        alike = {re.sub(r"\W+", "_", column): column for column in columns}
        meant = next((name for name in missing if name in alike), None)
        how = (
            f"; rename {alike[meant]!r} to {meant!r}, since the name of a variable has neither spaces nor signs"
            if meant
            else ""
        )
        raise RowsError(f"there {are} {names}, which the template {letter.template!r} needs: {has}{how}")
