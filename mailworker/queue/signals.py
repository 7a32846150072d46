"""Signals for what becomes of a mail, as Celery has them for tasks: connect a function, and it is called in the worker.

    from mailworker.queue.signals import mail_dead

    @mail_dead.connect
    def tell_the_shop(sender, event, **kwargs): ...

`sender` is the mailer's alias, `event` a `mailworker.delivery.event.MailEvent` (or `MailerEvent`): ids, domains and codes, no
address. They are sent after the spool has taken the event down, by the process that delivered, in the middle of its work: a
receiver has to be quick. What it raises is logged by Celery and harms no delivery.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery.utils.dispatch import Signal

if TYPE_CHECKING:
    from mailworker.delivery.event import Event

_ARGUMENTS = {"event"}

#: Every recipient was accepted.
mail_sent = Signal(name="mail_sent", providing_args=_ARGUMENTS)

#: It is tried again later, at `event.until`.
mail_deferred = Signal(name="mail_deferred", providing_args=_ARGUMENTS)

#: It was given up, and waits as a dead letter.
mail_dead = Signal(name="mail_dead", providing_args=_ARGUMENTS)

#: It was given up, and its sender had asked to fail silently.
mail_dropped = Signal(name="mail_dropped", providing_args=_ARGUMENTS)

#: It waits for a person, who knows whether a second copy may go.
mail_held = Signal(name="mail_held", providing_args=_ARGUMENTS)

#: Its time was over before anybody tried it.
mail_expired = Signal(name="mail_expired", providing_args=_ARGUMENTS)

#: The relay of a mailer cannot be used for a while.
mailer_paused = Signal(name="mailer_paused", providing_args=_ARGUMENTS)

#: It works again.
mailer_recovered = Signal(name="mailer_recovered", providing_args=_ARGUMENTS)

_OF_MAIL = {
    "sent": mail_sent,
    "deferred": mail_deferred,
    "dead": mail_dead,
    "dropped": mail_dropped,
    "held": mail_held,
    "expired": mail_expired,
    "paused": mailer_paused,
    "recovered": mailer_recovered,
}


def send(event: Event) -> None:
    """Send the signal of an event."""
    signal = _OF_MAIL[event.kind]
    if signal.receivers:
        signal.send(sender=event.mailer, event=event)
