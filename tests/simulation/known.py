"""What the simulation knows of each mail and lease by having watched: the model that the spool is held to.

It is fed with what every call has done, in the order in which it was done, and never asks the spool anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mailworker.outcome import OutcomeClass
from mailworker.spool.record import Mail, State


@dataclass(slots=True, eq=False)
class KnownLease:
    """One lease, and what its worker has done with it.

    Attributes:
        token: proves it.
        mail: on which mail.
        worker: name of the worker that claimed it.
        until: spool time when it runs out.
        ours_until: the same by the workers' clock.
        life: of the mail, when it was claimed.
        is_in_doubt: an earlier one had been marked, and nobody has said what he did about it.
        marked_at: step at which the first mark counted, None before it.
        is_ahead: its envelope has gone out behind the dot of the mail before it, in a session that is open.
        copied: recipients whose copy the relay has taken under this lease.
        copied_at: step at which it did.
        word: the closing word that counted.
        is_done: `done` has reached the spool, whether it counted or not.
        is_told: its worker has told that the mail is sent.
        has_spoken: some closing word has reached the spool, whether it counted or not.
        broken: the first ambiguous event between its claim and its word: why a second copy may exist; "" if none.
    """

    token: str
    mail: KnownMail
    worker: str
    until: float
    ours_until: float
    life: int
    is_in_doubt: bool = False
    marked_at: int | None = None
    is_ahead: bool = False
    copied: tuple[str, ...] = ()
    copied_at: int = 0
    word: str = ""
    is_done: bool = False
    is_told: bool = False
    has_spoken: bool = False
    broken: str = ""

    @property
    def leaves_doubt(self) -> bool:
        """Tell whether the next lease has to be in doubt, as things stand."""
        if not self.word:
            return self.is_in_doubt or self.marked_at is not None
        return self.word == "snooze" and self.is_in_doubt

    def why_refused(self, now: float) -> str:
        """Say why a mark of it is refused."""
        if self.until <= now or self.mail.newest is not self:
            return "its lease is lost"
        return "a late word came" if self.mail.called_back_at is None else "its group is cancelled"

    def extend(self, until: float, ours_until: float) -> None:
        """Make it last until then, by the spool's and the workers' clock."""
        self.until, self.ours_until = until, ours_until


@dataclass(slots=True, eq=False)
class KnownMail:
    """One mail that the spool has accepted.

    Attributes:
        mail: as it was put.
        recipients: all of them.
        state: as last seen; None once it is rightly forgotten.
        unfinished_at: spool time when it was last seen in a state that is not final.
        copies: recipient -> the leases under which the relay has taken a copy, in order.
        has_second_copy: some recipient has two.
        told: recipient -> step at which a worker first told the spool that it was accepted.
        leases: token -> lease, oldest first.
        newest: the last lease.
        life: counts the replays.
        attempts: charged in this life, as they must stand in the ledger.
        resends: counted in this life, as they must stand in the ledger.
        last_heard: classes of the outcomes of the last word that counted.
        is_flagged: the ledger has said that it is in doubt.
        cancelled_at: step at which a person was told that it is taken back.
        called_back_at: step at which its group was cancelled.
        was_purged: a person removed it.
    """

    mail: Mail
    recipients: tuple[str, ...]
    state: State | None = State.DUE
    unfinished_at: float = 0.0
    copies: dict[str, list[KnownLease]] = field(default_factory=dict)
    has_second_copy: bool = False
    told: dict[str, int] = field(default_factory=dict)
    leases: dict[str, KnownLease] = field(default_factory=dict)
    newest: KnownLease | None = None
    life: int = 0
    attempts: int = 0
    resends: int = 0
    last_heard: set[OutcomeClass] = field(default_factory=set)
    is_flagged: bool = False
    cancelled_at: int | None = None
    called_back_at: int | None = None
    was_purged: bool = False
