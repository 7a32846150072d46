"""Settings that are right one by one and wrong together.

Each check names the settings that it looks at; it is left out where one of them is wrong already.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

from mailworker.settings.backend import FILE_BACKEND
from mailworker.settings.mailer import DEFAULT, RELAY
from mailworker.settings.source import DJANGO

if TYPE_CHECKING:
    from mailworker.settings.model import Settings

Check = Callable[["Settings"], Iterator[str]]


def contradictions(settings: Settings, wrong: Collection[str]) -> list[str]:
    """Return a sentence for each contradiction.

    Args:
        settings: with defaults in place of the wrong ones.
        wrong: settings that have a problem of their own.
    """
    return [sentence for names, check in _CHECKS if not names & set(wrong) for sentence in check(settings)]


def _one_kind_of_tls(settings: Settings) -> Iterator[str]:
    if settings.EMAIL_USE_TLS and settings.EMAIL_USE_SSL:
        yield (
            f"EMAIL_USE_TLS (from {settings.origin('EMAIL_USE_TLS')}) and EMAIL_USE_SSL "
            f"(from {settings.origin('EMAIL_USE_SSL')}) are both true, but only one of them can be: keep EMAIL_USE_TLS for "
            "STARTTLS (mostly port 587) or EMAIL_USE_SSL for TLS from the first byte (mostly port 465)."
        )


def _one_way_to_log_in(settings: Settings) -> Iterator[str]:
    if settings.MAILWORKER_OAUTH_TOKEN is not None and settings.EMAIL_HOST_PASSWORD.get_secret_value():
        yield (
            f"MAILWORKER_OAUTH_TOKEN (from {settings.origin('MAILWORKER_OAUTH_TOKEN')}) and EMAIL_HOST_PASSWORD "
            f"(from {settings.origin('EMAIL_HOST_PASSWORD')}) are both set, but a user logs in with one of them: take the "
            "other out."
        )


def _key_has_certificate(settings: Settings) -> Iterator[str]:
    if settings.EMAIL_SSL_KEYFILE is not None and settings.EMAIL_SSL_CERTFILE is None:
        yield (
            f"EMAIL_SSL_KEYFILE (from {settings.origin('EMAIL_SSL_KEYFILE')}) is set, but EMAIL_SSL_CERTFILE is not: a key "
            "is of no use without its certificate, so set both or none."
        )


def _files_have_a_place(settings: Settings) -> Iterator[str]:
    names = {DEFAULT: "EMAIL_BACKEND", RELAY: "EMAIL_DELIVERY_BACKEND"}
    for alias, name in names.items():
        mailer = settings.mailers[alias]
        if mailer.is_implicit and mailer.backend == FILE_BACKEND and settings.EMAIL_FILE_PATH is None:
            yield f"EMAIL_FILE_PATH is not set, but {name} (from {settings.origin(name)}) writes files: set it to a folder."


def _queues_deliver(settings: Settings) -> Iterator[str]:
    mailers = settings.mailers
    for mailer in mailers.values():
        if not mailer.is_queue:
            continue
        what = f"The mailer {mailer.alias!r} is a queue and delivers with {mailer.delivers_with!r}"
        target = mailers.get(mailer.delivers_with)
        if target is None:
            yield f"{what}, which is no mailer: known are {', '.join(sorted(mailers))}."
        elif target.is_queue:
            yield f"{what}, which is a queue too: its option mailer must name one that delivers."
        elif (
            target.alias == RELAY
            and target.is_implicit
            and not mailer.is_implicit
            and settings.origin("MAILERS") == DJANGO
            and not settings.is_relay_set
        ):
            yield (
                f'{what}, but MAILERS (from {DJANGO}) has no "relay": add MAILERS["relay"] with the server, '
                "or set EMAIL_URL in the environment."
            )


def _links_are_signed(settings: Settings) -> Iterator[str]:
    url, keys = "MAILWORKER_UNSUBSCRIBE_URL", "MAILWORKER_UNSUBSCRIBE_KEYS"
    if (settings.MAILWORKER_UNSUBSCRIBE_URL is None) != (not settings.MAILWORKER_UNSUBSCRIBE_KEYS):
        there, missing = (keys, url) if settings.MAILWORKER_UNSUBSCRIBE_URL is None else (url, keys)
        yield (
            f"{there} (from {settings.origin(there)}) is set, but {missing} is not: links by which recipients unsubscribe need "
            "both, so set both or none."
        )


_MAILER_NAMES = frozenset({"MAILERS", "EMAIL_BACKEND", "EMAIL_DELIVERY_BACKEND", "EMAIL_URL", "EMAIL_FILE_PATH"})

_CHECKS: tuple[tuple[frozenset[str], Check], ...] = (
    (frozenset({"EMAIL_USE_TLS", "EMAIL_USE_SSL"}), _one_kind_of_tls),
    (frozenset({"MAILWORKER_OAUTH_TOKEN", "EMAIL_HOST_PASSWORD", "EMAIL_URL"}), _one_way_to_log_in),
    (frozenset({"EMAIL_SSL_KEYFILE", "EMAIL_SSL_CERTFILE", "EMAIL_URL"}), _key_has_certificate),
    (frozenset({"MAILWORKER_UNSUBSCRIBE_URL", "MAILWORKER_UNSUBSCRIBE_KEYS"}), _links_are_signed),
    (_MAILER_NAMES, _files_have_a_place),
    (_MAILER_NAMES, _queues_deliver),
)
