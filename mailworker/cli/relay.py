"""Does the relay answer? Connects, greets, starts TLS and logs in as a worker would, and sends nothing.

Each mailer that a worker delivers with is looked at. What is not SMTP is built, which checks its options, and not opened: a
backend of another project may do anything when it is. Failures are findings; nothing is raised.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mailworker.cli import finding
from mailworker.errors import ConfigurationError, MailerUnavailable, Trouble

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from mailworker.cli.finding import Finding
    from mailworker.settings import Mailer, Settings
    from mailworker.smtp.access_token import TokenFunction
    from mailworker.smtp.options import SessionOptions
    from mailworker.smtp.session import Session

#: Seconds that looking may take for each step, however patient a worker is.
TIMEOUT = 10.0

#: Days before its end at which a certificate is worth a warning: automatic renewal comes 30 days before.
_SOON = 14

_ADVICE = {
    Trouble.CONNECT: "check EMAIL_HOST and EMAIL_PORT, that the relay runs, and that no firewall is in between",
    Trouble.TLS: "check EMAIL_USE_TLS (STARTTLS, port 587), EMAIL_USE_SSL (TLS at once, port 465) and the certificate",
    Trouble.GREETING: "the relay does not want this host: ask who runs it, or check EMAIL_PORT",
    Trouble.AUTH_TEMPORARY: "try again later: the relay cannot check logins now",
    Trouble.AUTH_REFUSED: "check EMAIL_HOST_USER and EMAIL_HOST_PASSWORD, and that TLS is on if the relay wants it",
    Trouble.CONFIGURATION: "correct this setting",
}

#: The same, where the login is a token.
_ADVICE_ON_TOKENS = {
    Trouble.AUTH_REFUSED: (
        "check EMAIL_HOST_USER, the scope that the function asks for, and that this mailbox may send by SMTP with OAuth"
    ),
    Trouble.CONFIGURATION: "correct the function, or what else is named",
}

#: What a mailer of MAILERS calls these settings; the longer name first.
_OPTIONS = {
    "EMAIL_HOST_USER": "username",
    "EMAIL_HOST_PASSWORD": "password",
    "EMAIL_HOST": "host",
    "EMAIL_PORT": "port",
    "EMAIL_USE_TLS": "use_tls",
    "EMAIL_USE_SSL": "use_ssl",
}

#: What DEFAULT_FROM_EMAIL is unless it is set.
_NOBODY = "webmaster@localhost"


def mailers(conf: Settings) -> list[Mailer]:
    """Return the mailers that deliver, "relay" first; "default" too where it is no queue and sends by itself."""
    default = conf.mailer("default")
    names = [default.delivers_with if default.is_queue else "relay"]
    names += [alias for alias, mailer in conf.mailers.items() if not mailer.is_queue]
    names += [mailer.delivers_with for mailer in conf.mailers.values() if mailer.is_queue]
    return [conf.mailers[name] for name in dict.fromkeys(names) if name in conf.mailers]


def where(conf: Settings, mailer: Mailer) -> str:
    """Return where a mailer delivers to, in a word, without opening anything."""
    if not is_smtp(mailer):
        return mailer.backend
    host = mailer.options.get("host") or (conf.EMAIL_HOST if mailer.is_implicit else "localhost")
    port = mailer.options.get("port") or (conf.EMAIL_PORT if mailer.is_implicit else 25)
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def is_smtp(mailer: Mailer) -> bool:
    """Tell whether a mailer's backend is our SMTP one."""
    from mailworker.settings import SMTP_BACKEND

    return mailer.backend == SMTP_BACKEND


def unreadable(mailer: Mailer, backend: Any) -> list[str]:
    """Return a sentence for each of an SMTP backend's certificate and key files that cannot be read.

    Args:
        mailer: whose backend it is.
        backend: built, and not opened.
    """
    sentences: list[str] = []
    for setting, path in _client_files(mailer, backend).items():
        try:
            Path(path).open("rb").close()
        except OSError as error:
            sentences.append(
                f"{setting} is {path!r}, which cannot be read ({error.strerror}): expected a file in PEM form that this user "
                "may read"
            )
    return sentences


def _client_files(mailer: Mailer, backend: Any) -> dict[str, str]:
    """Return the backend's own certificate and key: how a person calls the setting -> path."""
    names = {
        option: f"EMAIL_{option.upper()}" if mailer.is_implicit else f"MAILERS[{mailer.alias!r}]['OPTIONS'][{option!r}]"
        for option in ("ssl_certfile", "ssl_keyfile")
    }
    return {name: str(path) for option, name in names.items() if (path := getattr(backend, option))}


def look(conf: Settings) -> Iterator[Finding]:
    """Look over all mailers."""
    for mailer in mailers(conf):
        yield from look_at(conf, mailer)
    for mailer in conf.mailers.values():
        if mailer.is_queue:
            yield from _built(mailer)
    if not conf.is_relay_set and mailers(conf)[0].is_implicit:
        yield finding.warning(
            "relay", "no relay is named, so localhost:25 is taken", "set EMAIL_HOST, or EMAIL_URL, to your relay"
        )
    if conf.MAILWORKER_OAUTH_TOKEN is not None and not any(one.is_implicit for one in mailers(conf) if is_smtp(one)):
        yield finding.warning(
            "relay",
            "MAILWORKER_OAUTH_TOKEN is set, and no mailer takes it: MAILERS says how they log in",
            "give it to one of them as its option token",
        )
    if conf.DEFAULT_FROM_EMAIL == _NOBODY:
        yield finding.warning(
            "relay",
            f"the default sender is {_NOBODY}, which relays refuse",
            "set DEFAULT_FROM_EMAIL to an address of yours",
        )


def look_at(conf: Settings, mailer: Mailer) -> Iterator[Finding]:
    """Look over one mailer."""
    from mailworker.mail.backends.smtp import EmailBackend

    part = _part(mailer)
    backend = yield from _built(mailer)
    if backend is None:
        return
    if not isinstance(backend, EmailBackend):
        yield finding.ok(part, f"{mailer.backend}: not SMTP, so nothing to connect to")
        return
    broken = unreadable(mailer, backend)
    if not (backend.use_tls or backend.use_ssl):
        yield from _unused(mailer, backend, broken)
    elif broken:
        yield finding.error(part, "; ".join(broken), _ADVICE[Trouble.CONFIGURATION])
        return
    backend.fail_silently = False
    backend.timeout = min(backend.timeout or TIMEOUT, TIMEOUT)
    try:
        backend.open()
        session = backend.connection
        assert session is not None
        yield from _session(part, where(conf, mailer), session)
    except MailerUnavailable as error:
        said = f" ({error.reply})" if error.reply is not None and str(error.reply.code) not in str(error) else ""
        yield finding.error(part, f"{error}{said}", _advice(mailer, error, has_token=backend.token is not None))
    except Exception as error:  # noqa: BLE001 - a subclass of ours may raise anything
        yield finding.error(part, f"{where(conf, mailer)}: {type(error).__name__}", _ADVICE[Trouble.CONFIGURATION])
    finally:
        backend.close()


def _advice(mailer: Mailer, error: MailerUnavailable, *, has_token: bool) -> str:
    if has_token and error.trouble is Trouble.AUTH_TEMPORARY and error.reply is None:
        return "call the function by hand to see why"
    advice = (_ADVICE_ON_TOKENS if has_token and error.trouble in _ADVICE_ON_TOKENS else _ADVICE)[error.trouble]
    if mailer.is_implicit:
        return advice
    named = advice
    for setting, option in _OPTIONS.items():
        named = named.replace(setting, option)
    return named if named == advice else f"{named} (the options are in MAILERS[{mailer.alias!r}])"


def _unused(mailer: Mailer, backend: Any, broken: list[str]) -> Iterator[Finding]:
    """Warn of files that wait for TLS: who set them believes that it is on."""
    named = _client_files(mailer, backend)
    if named:
        text = f"{' and '.join(named)} {'is' if len(named) == 1 else 'are'} set and unused, since TLS is off"
        advice = (
            "set EMAIL_USE_TLS=1 (STARTTLS, port 587) or EMAIL_USE_SSL=1 (TLS at once, port 465), or leave them out"
        )
        yield finding.warning(_part(mailer), "; ".join([text, *broken]), advice)


def _built(mailer: Mailer) -> Generator[Finding, None, Any]:
    """Build a mailer's backend and return it; None if that fails."""
    from mailworker.mail import connection as connections

    try:
        return connections.build(mailer)
    except Exception as error:  # noqa: BLE001 - a backend of another project may raise anything
        text = str(error) if isinstance(error, ConfigurationError) else f"{mailer.backend}: {type(error).__name__}"
        yield finding.error(_part(mailer), text, _ADVICE[Trouble.CONFIGURATION])
        return None


def _part(mailer: Mailer) -> str:
    return "relay" if mailer.alias == "relay" else f"relay {mailer.alias}"


def _session(part: str, place: str, session: Session) -> Iterator[Finding]:
    options = session.options
    steps = ["connected", "TLS verified" if options.use_tls or options.use_ssl else "no TLS"]
    steps.append(_login(options))
    if session.offer.size_limit:
        steps.append(f"takes up to {session.offer.size_limit / 2**20:.0f} MiB")
    if session.offer.pipelining:
        steps.append("pipelining")
    yield finding.ok(part, f"{place}: {', '.join(steps)}")
    if session.certificate_ends_at is not None:
        yield _certificate(part, session.certificate_ends_at, time.time())
    elif session.offer.starttls and not options.is_local:
        advice = "set EMAIL_USE_TLS=1"
        yield finding.warning(part, "mail travels unencrypted although the relay offers STARTTLS", advice)
    if (options.dsn_notify or options.dsn_return) and not session.offer.dsn:
        text = "dsn_notify and dsn_return have no effect: the relay does not offer DSN (RFC 3461)"
        yield finding.warning(part, text, "do not count on its notifications, or take the options out")
    if options.token is not None:
        yield from _end_of_token(part, options.token)
    elif bool(options.username) != bool(options.password):
        given, missing = ("EMAIL_HOST_USER", "EMAIL_HOST_PASSWORD")[:: 1 if options.username else -1]
        yield finding.warning(part, f"{given} is set without {missing}, so nobody logs in", "set both or neither")


def _login(options: SessionOptions) -> str:
    if options.token is not None:
        from mailworker.smtp import token_source

        return f"logged in with a token of {token_source.of(options.token).name}"
    return "logged in" if options.username and options.password else "no login"


def _end_of_token(part: str, function: TokenFunction) -> Iterator[Finding]:
    from mailworker.smtp import token_source

    source = token_source.of(function)
    if source.expires_at is None:
        text = f"{source.name} does not say when its tokens end, so each is used until the relay refuses it"
        yield finding.notice(part, text, "let it return mailworker.AccessToken(token, expires_at)")
    else:
        minutes = (source.expires_at - time.time()) / 60
        if minutes < 1:
            text = f"its token ends {'soon' if minutes >= 0 else 'before now'}: a worker would ask for one, and log in, for each mail"
            yield finding.warning(part, text, f"see what {source.name} says of its end, and this machine's clock")
            return
        yield finding.ok(part, f"its token ends in {minutes:.0f} min; workers ask for another one before that")


def _certificate(part: str, ends_at: float, now: float) -> Finding:
    day = time.strftime("%Y-%m-%d", time.gmtime(ends_at))
    days = (ends_at - now) / 86400
    if days < _SOON:
        return finding.warning(part, f"its certificate ends on {day}, in {days:.0f} days", "see that it is renewed")
    return finding.ok(part, f"its certificate is good until {day}")
