"""The settings, each with its type, default, rule and one sentence that says what it does.

`Settings()` asks all sources (`source`), validates once (`rule`, `consistency`) and is frozen from then on. It raises one
`ConfigurationError` that lists every problem, or gives an object that nothing below has to doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, NoReturn

from pydantic import Field, PrivateAttr, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from mailworker.errors import ConfigurationError
from mailworker.settings import source
from mailworker.settings.backend import QUEUE_BACKEND, SMTP_BACKEND, BackendPath
from mailworker.settings.consistency import contradictions
from mailworker.settings.contact import Contact, People, Sender
from mailworker.settings.mailer import DEFAULT, RELAY, Mailer, MailerTable, mailers_of
from mailworker.settings.number import Flag, Fraction, Schedule, Seconds, Whole
from mailworker.settings.rule import BadValue, Rule, mask_addresses, sentences
from mailworker.settings.secret_key import EncryptionKeys
from mailworker.settings.spool_url import SpoolUrl, spool_url_for
from mailworker.settings.suppression_place import SuppressionPlace
from mailworker.settings.template_place import FunctionPath, TemplateEngine, TemplatePlaces
from mailworker.settings.text import CeleryApp, Charset, Choice, FilePath, Host, Namespace, Password, Text
from mailworker.settings.token_path import TokenPath
from mailworker.settings.unsubscribe import SigningKeys, UnsubscribeUrl
from mailworker.settings.url import BrokerUrl, EmailUrl

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86400.0

#: The names that describe the relay by themselves; the others only refine it.
_RELAY_NAMES = ("EMAIL_URL", "EMAIL_DELIVERY_BACKEND", "EMAIL_HOST")


class Settings(BaseSettings):
    """All settings, frozen; keyword arguments go before every other source, as in `configure()`.

    Raises:
        ConfigurationError: lists everything that is wrong.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        case_sensitive=True,
        env_file=".env",
        env_file_encoding="utf-8",
        hide_input_in_errors=True,
    )

    EMAIL_BACKEND: Annotated[str, BackendPath()] = Field(
        QUEUE_BACKEND,
        description="What `send_mail()` hands messages to; any other backend than the queue sends at once, in the caller's process.",
    )
    EMAIL_DELIVERY_BACKEND: Annotated[str, BackendPath(delivers=True, example=SMTP_BACKEND)] = Field(
        SMTP_BACKEND, description="What the worker delivers with."
    )
    EMAIL_URL: Annotated[SecretStr | None, EmailUrl()] = Field(
        None,
        description=(
            "The relay in one line, in place of the names below: `smtp://user:password@host:587/?tls=1`, `smtps://...`, or "
            "`console:`, `file:///path`, `locmem:`, `dummy:` for what the worker delivers with; names set beside it win."
        ),
    )
    EMAIL_HOST: Annotated[str, Host()] = Field("localhost", description="Host name or IP address of the relay.")
    EMAIL_PORT: Annotated[int, Whole(1, 65535, "587", "a port number")] = Field(25, description="Port of the relay.")
    EMAIL_HOST_USER: Annotated[str, Text("mailer")] = Field(
        "", description="User name at the relay; without it nobody logs in."
    )
    EMAIL_HOST_PASSWORD: Annotated[SecretStr, Password()] = Field(SecretStr(""), description="Password at the relay.")
    MAILWORKER_OAUTH_TOKEN: Annotated[str | Callable[[], Any] | None, TokenPath()] = Field(
        None,
        description=(
            "Function that gives access tokens of `EMAIL_HOST_USER`, as `module:function`: in place of a password where the "
            "relay wants OAuth 2 (Gmail, Microsoft 365)."
        ),
    )
    EMAIL_USE_TLS: Annotated[bool, Flag()] = Field(
        False, description="Upgrade to TLS with STARTTLS (mostly port 587); never goes on in plain text."
    )
    EMAIL_USE_SSL: Annotated[bool, Flag()] = Field(
        False, description="Speak TLS from the first byte (mostly port 465); not together with `EMAIL_USE_TLS`."
    )
    EMAIL_SSL_CERTFILE: Annotated[Path | None, FilePath("a certificate in PEM form", "/etc/ssl/client.pem")] = Field(
        None, description="Client certificate for the relay, in PEM form."
    )
    EMAIL_SSL_KEYFILE: Annotated[Path | None, FilePath("a private key in PEM form", "/etc/ssl/client.key")] = Field(
        None, description="Private key of that certificate."
    )
    EMAIL_TIMEOUT: Annotated[float, Seconds(0.01, _HOUR, "60")] = Field(
        60.0,
        description="How long one step of talking to the relay may take, such as connecting or waiting for a reply.",
    )
    EMAIL_FILE_PATH: Annotated[Path | None, FilePath("a folder", "/var/mail/out")] = Field(
        None, description="Folder that the file backend writes into."
    )
    EMAIL_USE_LOCALTIME: Annotated[bool, Flag()] = Field(
        False, description="Write the Date header in local time instead of UTC."
    )
    EMAIL_SUBJECT_PREFIX: Annotated[str, Text("[shop] ")] = Field(
        "[mailworker] ",
        description="What `mail_admins()` and `mail_managers()` put before the subject (Django has `[Django] ` here).",
    )
    DEFAULT_FROM_EMAIL: Annotated[str, Sender()] = Field(
        "webmaster@localhost", description="Sender of messages that name none."
    )
    SERVER_EMAIL: Annotated[str, Sender()] = Field(
        "root@localhost", description="Sender of `mail_admins()` and `mail_managers()`."
    )
    DEFAULT_CHARSET: Annotated[str, Charset()] = Field("utf-8", description="Encoding of messages that name none.")
    ADMINS: Annotated[tuple[Contact, ...], People()] = Field(
        (), description="Who gets `mail_admins()`: addresses, or (name, address) pairs as in Django."
    )
    MANAGERS: Annotated[tuple[Contact, ...], People()] = Field((), description="Who gets `mail_managers()`.")
    MAILERS: Annotated[Mapping[str, Mailer], MailerTable()] = Field(
        default_factory=dict,
        description=(
            'Named mailers in the shape of Django 6.1, alias -> `{"BACKEND": path, "OPTIONS": {...}}`, in the environment as '
            "JSON; `default` and `relay` come from the names above unless they are here."
        ),
    )

    MAILWORKER_TEMPLATES: Annotated[tuple[str, ...], TemplatePlaces()] = Field(
        ("templates",),
        description=(
            "Where templates of mails lie: folders, from the working directory if they are not absolute, or `package:folder`; "
            "the first that has a file counts. Django's engine looks where `TEMPLATES` says."
        ),
    )
    MAILWORKER_TEMPLATE_ENGINE: Annotated[str | None, TemplateEngine()] = Field(
        None,
        description="What reads templates, `jinja2` or `django`; not set = Django's engine in a Django project, else Jinja2.",
    )
    MAILWORKER_TEMPLATE_SETUP: Annotated[str | Callable[[Any], Any] | None, FunctionPath()] = Field(
        None,
        description="Function that gets the Jinja2 environment once, to add filters and globals, as `module:function`.",
    )
    MAILWORKER_INLINE_CSS: Annotated[bool, Flag()] = Field(
        False, description="Move the rules of `<style>` in HTML templates into `style` attributes, for mail programs."
    )
    MAILWORKER_SUPPRESSION: Annotated[str | Callable[[str], Any] | None, SuppressionPlace()] = Field(
        None,
        description=(
            "Who gets no bulk mail: a file with an address or a domain a line, or a function that says yes or no to an address, "
            "as `module:function`; asked when a bulk is started, and again before each mail is sent."
        ),
    )
    MAILWORKER_BROKER_URL: Annotated[SecretStr, BrokerUrl()] = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Broker that Celery speaks to; where it is not set, `REDIS_URL` from the environment is taken.",
    )
    MAILWORKER_SPOOL_URL: Annotated[SecretStr | None, SpoolUrl()] = Field(
        None,
        description="Redis that keeps the mails; empty = mails travel in the Celery tasks.",
    )
    MAILWORKER_WAIT_REPLICAS: Annotated[int, Whole(0, 100, "1")] = Field(
        0, description="How many replicas of the spool's Redis must have a mail before it counts as accepted."
    )
    MAILWORKER_NAMESPACE: Annotated[str, Namespace()] = Field(
        "mailworker",
        description="First part of the names of all queues and keys, so that two installations can share a broker.",
    )
    MAILWORKER_CELERY_APP: Annotated[str | None, CeleryApp()] = Field(
        None,
        description="The project's own Celery app as `module:attribute`; without it mailworker has one of its own.",
    )
    MAILWORKER_TASK_ALWAYS_EAGER: Annotated[bool, Flag()] = Field(
        False, description="Deliver in the caller's process, without a broker: for tests."
    )
    MAILWORKER_ENQUEUE_TIMEOUT: Annotated[float, Seconds(0.01, _MINUTE, "2")] = Field(
        2.0, description="Longest time that a caller waits for the queue to take a message."
    )
    MAILWORKER_ON_COMMIT: Annotated[bool, Flag()] = Field(
        True, description="In Django: hand mail over when the transaction that it is sent in is committed."
    )
    MAILWORKER_ON_COMMIT_USING: Annotated[str, Text("default")] = Field(
        "default", description="In Django: the alias of the database whose transaction that is."
    )
    MAILWORKER_ON_COMMIT_FAILURE: Annotated[str, Choice(("log", "raise"))] = Field(
        "log",
        description=(
            "In Django: what becomes of a queue that does not take mail after the commit: `log` it as an ERROR, so that the "
            "response goes out, or `raise` it."
        ),
    )
    MAILWORKER_ENCRYPTION_KEYS: Annotated[tuple[SecretStr, ...], EncryptionKeys()] = Field(
        (), description="Fernet keys, separated by commas: the first encrypts what is queued, all of them decrypt."
    )
    MAILWORKER_MAX_MESSAGE_SIZE: Annotated[int, Whole(1024, 2**30, str(25 * 2**20), "a number of bytes")] = Field(
        25 * 2**20, description="Largest message that the queue takes, in bytes of its serialized form."
    )
    MAILWORKER_UNSUBSCRIBE_URL: Annotated[str | None, UnsubscribeUrl()] = Field(
        None,
        description=(
            "Link by which a recipient of bulk mail gets no more of it, with `{token}` where the signed token stands; a view "
            "there asks `mailworker.mail.unsubscribe.verify`."
        ),
    )
    MAILWORKER_UNSUBSCRIBE_KEYS: Annotated[tuple[SecretStr, ...], SigningKeys()] = Field(
        (), description="Keys for those tokens, separated by commas: the first signs, all of them verify."
    )
    MAILWORKER_RETENTION: Annotated[float, Seconds(1, 3650 * _DAY, "604800")] = Field(
        7 * _DAY, description="How long a finished mail stays known to `status`."
    )
    MAILWORKER_BATCH_SIZE: Annotated[int, Whole(1, 1000, "50")] = Field(
        50, description="Most mails that a worker takes at a time."
    )
    MAILWORKER_LEASE: Annotated[float, Seconds(1, _DAY, "60")] = Field(
        60.0, description="How long a worker's claim on a mail lasts unless it is renewed."
    )
    MAILWORKER_RETRY_SCHEDULE: Annotated[tuple[float, ...], Schedule(0.1, 30 * _DAY, "60,300,900,1800,3600,7200")] = (
        Field(
            (60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0),
            description="Waiting times before the second, third and later attempts; the last one repeats.",
        )
    )
    MAILWORKER_RETRY_JITTER: Annotated[float, Fraction("0.2")] = Field(
        0.2, description="Share of a waiting time by which it is varied at random."
    )
    MAILWORKER_GIVE_UP_AFTER: Annotated[float, Seconds(1, 30 * _DAY, "86400")] = Field(
        _DAY, description="How long after its first attempt a mail is given up."
    )
    MAILWORKER_MAX_ATTEMPTS: Annotated[int | None, Whole(1, 1000, "10", optional=True)] = Field(
        None, description="Most attempts at a mail; not set means that only the time counts."
    )
    MAILWORKER_IN_DOUBT_RESENDS: Annotated[int, Whole(0, 100, "1")] = Field(
        1, description="How often a mail is sent again although the relay may have accepted it already."
    )
    MAILWORKER_RELAY_BACKOFF: Annotated[tuple[float, ...], Schedule(0.1, _DAY, "5,15,30,60,120,300")] = Field(
        (5.0, 15.0, 30.0, 60.0, 120.0, 300.0),
        description="How long a mailer pauses after each trouble in a row with its relay; the last one repeats.",
    )
    MAILWORKER_TRANSACTION_TIMEOUT: Annotated[float, Seconds(0.1, _DAY, "300")] = Field(
        300.0, description="Longest time for one message on the wire, without the wait for the final reply."
    )
    MAILWORKER_FINAL_REPLY_TIMEOUT: Annotated[float, Seconds(0.1, _HOUR, "600")] = Field(
        600.0, description="How long to wait for the relay's reply to a whole message, as RFC 5321 asks for."
    )
    MAILWORKER_IDLE_TIMEOUT: Annotated[float, Seconds(0.1, _HOUR, "9")] = Field(
        9.0, description="An SMTP session without work is closed after this time."
    )

    _origins: Mapping[str, source.Origin] = PrivateAttr(default_factory=dict)

    def __init__(self, *, _overrides: Any = (), _adopted: Any = ("", {}), **values: Any) -> None:
        found = source.merge(
            [
                *(source.from_python(source.OVERRIDE, override, RULES) for override in reversed(_overrides)),
                source.from_python(source.CONFIGURE, values, RULES),
                source.from_python(_adopted[0], _adopted[1], RULES),
                source.from_django(RULES),
                source.from_environment(type(self), RULES),
                source.from_dotenv(RULES),
            ]
        )
        problems = list(found.problems)
        wrong = self._validate(found)
        if wrong:
            for name, problem in wrong.items():
                origin = found.origins[name].label
                problems.extend(sentences(name, origin, found.values[name], RULES[name], problem))
            super().__init__(
                _env_file=None, **{name: value for name, value in found.values.items() if name not in wrong}
            )
        self._origins = found.origins
        problems.extend(contradictions(self, wrong))
        if problems:
            _refuse(problems)

    def _validate(self, found: source.Found) -> Mapping[str, BadValue]:
        """Fill in the fields; return what is wrong with which."""
        try:
            super().__init__(_env_file=None, **found.values)  # the file has been read
        except ValidationError as error:
            problems: list[Any] = list(error.errors(include_input=False))
            return {str(each["loc"][0]): each["ctx"]["error"] for each in problems}
        return {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Leave merging to `source.merge`: pydantic's would mix the dicts of two sources into one."""
        return (init_settings,)

    def origin(self, name: str) -> str:
        """Return where a setting's value came from, in words: "the environment"; "default" if nobody set it."""
        found = self._origins.get(name)
        return found.label if found else source.DEFAULT

    def is_set(self, name: str) -> bool:
        """True if some source names this setting (EMAIL_URL names what it describes; REDIS_URL names nothing)."""
        found = self._origins.get(name)
        return found is not None and found.is_set

    @property
    def is_relay_set(self) -> bool:
        """True if somebody said which relay to use: EMAIL_URL, EMAIL_DELIVERY_BACKEND or EMAIL_HOST."""
        return any(self.is_set(name) for name in _RELAY_NAMES)

    def broker_url(self) -> str:
        """Return the broker's URL, password included."""
        return self.MAILWORKER_BROKER_URL.get_secret_value()

    def spool_url(self) -> str | None:
        """Return the URL of the spool's Redis, password included; None = no spool, mails travel inside the tasks."""
        if self.MAILWORKER_SPOOL_URL is None:
            return spool_url_for(self.broker_url())
        return self.MAILWORKER_SPOOL_URL.get_secret_value() or None

    @cached_property
    def mailers(self) -> Mapping[str, Mailer]:
        """All mailers by alias, "default" and "relay" always among them."""
        ranks = {name: self._origins[name].rank for name in self._origins}
        table = ranks.get("MAILERS", -1)
        described = {DEFAULT: ("EMAIL_BACKEND",), RELAY: _RELAY_NAMES}
        outranked = [
            alias for alias, names in described.items() if any(ranks.get(name, table) < table for name in names)
        ]
        return mailers_of(self.MAILERS, self.EMAIL_BACKEND, self.EMAIL_DELIVERY_BACKEND, outranked)

    def mailer(self, alias: str) -> Mailer:
        """Return a mailer by its alias.

        Raises:
            ConfigurationError: if there is none of that name.
        """
        try:
            return self.mailers[alias]
        except (KeyError, TypeError):
            known = ", ".join(sorted(self.mailers))
            raise ConfigurationError(
                f"There is no mailer {mask_addresses(repr(alias))}: known are {known}; add others to MAILERS."
            ) from None

    def delivery_mailer(self, alias: str) -> Mailer:
        """Return the mailer that delivers what is sent with `alias`: itself, or what its queue names.

        Raises:
            ConfigurationError: if there is none of that name.
        """
        return self.mailer(self.mailer(alias).delivers_with)

    def show(self, name: str) -> str:
        """Return a setting's value for a person's eyes: no password in it, but addresses."""
        return RULES[name].show(getattr(self, name))

    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        return [(name, mask_addresses(self.show(name))) for name in RULES if name in self._origins]


def _refuse(problems: Sequence[str]) -> NoReturn:
    if len(problems) == 1:
        raise ConfigurationError(problems[0])
    lines = "".join(f"\n  - {problem}" for problem in problems)
    raise ConfigurationError(f"{len(problems)} settings are wrong:{lines}")


def _rules() -> Mapping[str, Rule]:
    found = {
        name: next(each for each in info.metadata if isinstance(each, Rule))
        for name, info in Settings.model_fields.items()
    }
    return MappingProxyType(found)


#: Setting -> its rule, in the order in which people read them.
RULES: Mapping[str, Rule] = _rules()
