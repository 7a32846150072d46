"""The first messages of a bulk, to somebody who looks at them before it is started: through the queue, as the others will go."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime

from mailworker import settings
from mailworker.bulk.mailing import Mailing
from mailworker.errors import InvalidAddress, RowsError
from mailworker.lane import Lane
from mailworker.mail.address import envelope_address
from mailworker.mail.letter import read_row
from mailworker.mail.message import EmailMultiAlternatives
from mailworker.queue import client

#: Messages that are sent.
TRIALS = 3


def send_trial(what: Mailing, address: str) -> list[client.MailId]:
    """Send the messages of the first good rows to one address, and return the ids of their mails.

    Each is made as if that address stood in its row, so that a link in it to get no more mail is about this one.

    Args:
        what: the bulk.
        address: of whoever looks at them.

    Raises:
        EnqueueError: the queue did not take them.
        InvalidAddress: that is no address.
        RowsError: it is no list, has no column that the mails need, or no good row.
    """
    if "@" not in envelope_address(address):
        raise InvalidAddress(
            "there is no @ in the address of who looks at the messages: expected one such as me@example.com"
        )
    messages = list(_messages(what, address))
    if not messages:
        raise RowsError("the list has no row that could be sent: look at it with --dry-run")
    return client.enqueue(messages, using=what.mailer, lane=Lane.NORMAL)


def _messages(what: Mailing, address: str) -> Iterator[EmailMultiAlternatives]:
    letter, date = what.letter, datetime.now(UTC)
    reader = what.reader(settings.current())
    made = 0
    with what.opened(reader) as source:
        for line, values in source:
            row = reader.row(line, values)
            if row is None or row.is_suppressed:
                continue
            # As a worker will have it: what is no text has become one.
            as_read = letter.named(read_row(row.payload, reader.sealer)[1])
            mail_id = secrets.token_hex(16)
            yield letter.message({**as_read, letter.to: address}, mail_id=mail_id, bulk=what.wish.name, date=date)
            made += 1
            if made == TRIALS:
                return
