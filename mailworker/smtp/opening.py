"""How a message's transaction begins: which recipients can be named at all, and which commands go out together.

Pure. With PIPELINING a group is as many commands as may be sent before their answers are read, DATA the last of all
(RFC 2920 §3.1); without it each command is a group of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mailworker.outcome import Outcome, OutcomeClass
from mailworker.smtp import content as contents
from mailworker.smtp import envelope as envelopes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mailworker.smtp.envelope import Envelope
    from mailworker.smtp.offer import Offer

#: What MAIL and DATA are about, where RCPT has its recipient: nothing that can be one.
MAIL, DATA = "", "\0"

#: Commands of one group.
MAX_GROUP = 100

#: Octets of one group, unless one command alone has more. So much fits into the buffers between here and a server that reads
#: nothing, because it waits for us to read its answers (RFC 2920 §3.1), or still works on the message before.
MAX_OCTETS = 4096

#: A command, behind what it is about.
Command = tuple[str, bytes]


class Opening:
    """The beginning of one transaction.

    Args:
        offer: what the server offers.
        envelope: of the message.
        content: the message, with whatever line ends.

    Attributes:
        envelope: as given.
        content: with CRLF for every line end.
        outcomes: of the recipients that need not be named, because they cannot be: the transaction adds to it.
        groups: the commands that name the others.
    """

    __slots__ = ("content", "envelope", "groups", "outcomes")

    def __init__(self, offer: Offer, envelope: Envelope, content: bytes) -> None:
        self.envelope = envelope
        self.content = contents.normalised(content)
        self.outcomes: dict[str, Outcome] = {}
        self._reject_what_cannot_be_said(offer)
        self.groups: Sequence[Sequence[Command]] = self._groups(offer)

    @property
    def is_one_group(self) -> bool:
        """Tell whether it can go out whole, before anything is answered."""
        return len(self.groups) == 1

    def together(self) -> bytes:
        """Return all commands as they go out in one go."""
        return b"".join(command for group in self.groups for _, command in group)

    def open_recipients(self) -> list[str]:
        """Return the recipients that have no outcome yet."""
        if not self.outcomes:
            return list(self.envelope.recipients)
        return [recipient for recipient in self.envelope.recipients if recipient not in self.outcomes]

    def _reject_what_cannot_be_said(self, offer: Offer) -> None:
        sender = self.envelope.sender
        if sender and (reason := envelopes.why_not(sender, smtputf8=offer.smtputf8)):
            self._reject(self.open_recipients(), f"sender: {reason}")
        size, limit = len(self.content), offer.size_limit
        if limit is not None and size > limit:
            self._reject(self.open_recipients(), f"the message has {size} octets, and the relay takes {limit} (SIZE)")
        for recipient in self.open_recipients():
            if reason := envelopes.why_not(recipient, smtputf8=offer.smtputf8):
                self._reject([recipient], reason)

    def _reject(self, recipients: Sequence[str], reason: str) -> None:
        self.outcomes |= dict.fromkeys(recipients, Outcome(OutcomeClass.REJECTED, None, reason))

    def _groups(self, offer: Offer) -> Sequence[Sequence[Command]]:
        recipients = self.open_recipients()
        if not recipients:
            return ()
        smtputf8 = any(map(envelopes.needs_smtputf8, (self.envelope.sender, *recipients)))
        if offer.smtputf8 and not smtputf8:
            # RFC 6531 §3.4: a header beyond ASCII needs it as well. Where it is not offered, the relay decides.
            smtputf8 = contents.has_utf8_header(self.content)
        commands = [(MAIL, self.envelope.mail(offer, self.content, smtputf8=smtputf8))]
        commands += [(recipient, self.envelope.rcpt(offer, recipient)) for recipient in recipients]
        commands.append((DATA, b"DATA\r\n"))
        return _grouped(commands) if offer.pipelining else [[command] for command in commands]


def _grouped(commands: Sequence[Command]) -> Sequence[Sequence[Command]]:
    groups: list[list[Command]] = [[]]
    octets = 0
    for command in commands:
        octets += len(command[1])
        if groups[-1] and (len(groups[-1]) == MAX_GROUP or octets > MAX_OCTETS):
            groups.append([])
            octets = len(command[1])
        groups[-1].append(command)
    return groups
