"""Which scenarios there are, and who takes part in each in which form.

A scenario is what all its entries have in common: the mails, how they were queued, the way to the receiver, what Redis keeps.
An entry is a contender as it is run there. Counts of mails are nothing of a scenario's: they follow each entry's speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.bench.letters import Letter
from tests.bench.place import Kept, Road

#: Names of contenders, as they are shown.
OURS = "mailworker"
CELERY_EMAIL = "django-celery-email"
DJANGO_MAILER = "django-mailer"
POST_OFFICE = "django-post_office"
LOOP = "smtplib loop"
LIMIT = "smtp-source"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A contender in a scenario.

    Attributes:
        contender: who.
        setting: what makes it this entry; with the contender it is unique in a scenario.
        sessions: processes or threads that deliver at a time, each over a connection of its own.
        pool: what they are, where there is a choice.
        chunk: mails in a task of django-celery-email.
        note: what was found out about it in the run; of the table, and not of its name.
    """

    contender: str
    setting: str = ""
    sessions: int = 2
    pool: str = "prefork"
    chunk: int = 10
    note: str = ""

    @property
    def label(self) -> str:
        return f"{self.contender}, {self.setting}" if self.setting else self.contender


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One comparison.

    Attributes:
        name: for `--only`.
        title: for the table.
        entries: who takes part, in the order of even rounds.
        road, letter, how, kept: what all have in common.
        timed: time single calls of `send_mail` too.
    """

    name: str
    title: str
    entries: Sequence[Entry] = field(repr=False)
    road: Road = Road.NEAR
    letter: Letter = Letter.SMALL
    how: str = "single"
    kept: Kept = Kept.NONE
    timed: bool = False


_OURS = Entry(contender=OURS, setting="2 processes")
_CELERY_EMAIL = Entry(contender=CELERY_EMAIL, setting="2 processes")
#: Two of them on SQLite would send each mail twice: it locks rows with SELECT FOR UPDATE, which SQLite does not have.
_DJANGO_MAILER = Entry(contender=DJANGO_MAILER, setting="1 process", sessions=1)
_POST_OFFICE = Entry(contender=POST_OFFICE, setting="2 processes")
_LOOP = Entry(contender=LOOP, setting="1 connection", sessions=1)
_LIMIT = Entry(contender=LIMIT, setting="2 connections")

#: Of mass mail, tried before the rounds: the best of them takes part.
CHUNKS = (10, 100, 500)

_ALL = (_OURS, _CELERY_EMAIL, _DJANGO_MAILER, _POST_OFFICE, _LOOP, _LIMIT)

#: One session each, and what sixteen of them make of it.
ONE = Entry(contender=OURS, setting="1 process", sessions=1)
ONE_THREAD = Entry(contender=OURS, setting="1 thread", sessions=1, pool="threads")
THREADS = Entry(contender=OURS, setting="1 process with 16 threads", sessions=16, pool="threads")
CHILDREN = Entry(contender=OURS, setting="16 processes", sessions=16)
_FAR = (
    ONE,
    Entry(contender=CELERY_EMAIL, setting="1 process", sessions=1),
    _DJANGO_MAILER,
    Entry(contender=POST_OFFICE, setting="1 process, 1 thread", sessions=1),
    _LOOP,
    Entry(contender=LIMIT, setting="1 connection", sessions=1),
    ONE_THREAD,
    THREADS,
    CHILDREN,
)

#: What Redis keeps is nothing to those that do not use it; the loop stands there for the ratio.
_WITH_REDIS = (_OURS, _CELERY_EMAIL, _LOOP)

SCENARIOS = (
    Scenario(name="singles", title="Single send_mail", entries=_ALL, timed=True),
    Scenario(
        name="everysec",
        title="Single send_mail, appendfsync everysec",
        entries=_WITH_REDIS,
        kept=Kept.EVERYSEC,
        timed=True,
    ),
    Scenario(
        name="always", title="Single send_mail, appendfsync always", entries=_WITH_REDIS, kept=Kept.ALWAYS, timed=True
    ),
    Scenario(
        name="tls", title="Single send_mail, STARTTLS and AUTH (a small server of ours; smtp-sink has neither)", entries=_ALL[:-1], road=Road.TLS
    ),
    Scenario(name="mass", title="send_mass_mail", entries=_ALL, how="mass"),
    Scenario(name="far", title="20 ms away", entries=_FAR, road=Road.FAR),
    Scenario(name="attachment", title="100 KB attached", entries=_ALL, letter=Letter.LARGE),
)  # fmt: skip
