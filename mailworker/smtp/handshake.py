"""From nothing to a session that takes mail: connect, greeting, EHLO, STARTTLS, AUTH.

It decides which step failed, and says so in one sentence without a secret; how a login goes is `auth`'s and `bearer`'s. TLS is verified or there is no session;
plain text never stands in for a TLS that was asked for. Whatever fails, the socket is closed before it is told:
`MailerUnavailable`, or `ConfigurationError` for a certificate that cannot be read.
"""

from __future__ import annotations

import re
import socket
import ssl
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from mailworker.errors import ConfigurationError, MailerUnavailable, Trouble
from mailworker.outcome import Reply
from mailworker.smtp import lookup, sasl
from mailworker.smtp import reply as replies
from mailworker.smtp.auth import PasswordLogin
from mailworker.smtp.bearer import HungUp, TokenLogin
from mailworker.smtp.budget import Budget
from mailworker.smtp.dialogue import ConnectionLost, Dialogue, Loss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mailworker.smtp.options import SessionOptions

#: RFC 5321 §4.1.2: what a server may check a name in EHLO for; it has to have a dot to be a full one.
_FULL_NAME = re.compile(
    r"(?=.{1,255}\Z)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)+\Z"
)


def establish(options: SessionOptions, clock: Callable[[], float]) -> Dialogue:
    """Return a connection that is greeted, encrypted and logged in as the options ask.

    Args:
        options: where, how, who.
        clock: monotonic seconds.

    Raises:
        MailerUnavailable: a step failed; nothing is left open.
        ConfigurationError: a certificate file cannot be read.
    """
    context = None
    if options.use_tls or options.use_ssl:
        context = options.ssl_context or client_context(options)
    # One for both connections, and for the token function: whoever waits for the session waits for all of it.
    budget = Budget(options, clock)
    login = _login(options, budget)
    try:
        return _opened(options, budget, context, login)
    except HungUp:
        return _opened(options, budget, context, login)


def _login(options: SessionOptions, budget: Budget) -> sasl.Login | None:
    if options.token is not None:
        return TokenLogin(options, options.token, budget)
    if options.username and options.password:
        return PasswordLogin(options.username, options.password)
    return None


def _opened(
    options: SessionOptions, budget: Budget, context: ssl.SSLContext | None, login: sasl.Login | None
) -> Dialogue:
    sock = _connect(options, budget)
    dialogue = Dialogue(sock, options.local_hostname or _own_name(sock), budget.clock)
    try:
        if context is not None and options.use_ssl:
            _secure(dialogue, options, budget, context)
        _greet(dialogue, options, budget)
        if context is not None and options.use_tls:
            _start_tls(dialogue, options, budget, context)
        if login is not None:
            _log_in(dialogue, options, budget, login)
        _check_is_in_step(dialogue, options)
    except BaseException:
        dialogue.close()
        raise
    return dialogue


def client_context(options: SessionOptions) -> ssl.SSLContext:
    """Return a TLS context that verifies certificate and host name, with the options' files.

    Without `ssl_cafile` the system's authorities are trusted, or those of the environment's SSL_CERT_FILE.

    Raises:
        ConfigurationError: a file cannot be read or holds no certificate or key.
    """
    try:
        context = ssl.create_default_context(cafile=options.ssl_cafile or None)
    except OSError as error:
        raise _unreadable("ssl_cafile", options.ssl_cafile, error) from error
    if options.ssl_certfile:
        try:
            # An empty password in place of none: a worker must not stop to ask at its terminal.
            context.load_cert_chain(options.ssl_certfile, options.ssl_keyfile or None, password="")
        except OSError as error:
            files = f"{options.ssl_certfile} with {options.ssl_keyfile or 'no ssl_keyfile (EMAIL_SSL_KEYFILE)'}"
            raise _unreadable("ssl_certfile (EMAIL_SSL_CERTFILE)", files, error) from error
    return context


def _unreadable(option: str, value: str | None, error: OSError) -> ConfigurationError:
    expected = "expected a readable PEM file with a certificate, and its key without a passphrase"
    return ConfigurationError(f"{option} is {value}: {error.strerror or type(error).__name__}; {expected}")


def _connect(options: SessionOptions, budget: Budget) -> socket.socket:
    clock, deadline = budget.clock, budget.step()
    limit = deadline - clock()
    try:
        addresses = lookup.addresses(options.host, options.port, limit)
    except (OSError, UnicodeError) as error:
        text = f"the name of {options.where} cannot be looked up: {getattr(error, 'strerror', None) or 'no valid name'}"
        raise MailerUnavailable(text, Trouble.CONNECT) from error
    if addresses is None or clock() >= deadline:
        # None of the relay's fault: it has not been asked for anything.
        text = f"the name of {options.where} was not looked up within {round(limit, 2):g} s{budget.reason(deadline)}"
        raise MailerUnavailable(text, Trouble.CONNECT)
    failure: OSError = OSError("it has no address")
    for number, (family, kind, protocol, _, address) in enumerate(addresses):
        # Each address gets its share of what is left, so that one that swallows packets does not use up all of it.
        share = (deadline - clock()) / (len(addresses) - number)
        if share <= 0:
            failure = TimeoutError()
            break
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(share)
            sock.connect(address)
            # The content and its final dot are two writes: Nagle would hold the second for a delayed ACK, 40 ms.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    if isinstance(failure, TimeoutError):
        reason = f"no connection within {round(limit, 2):g} s{budget.reason(deadline)}"
    else:
        reason = failure.strerror or str(failure)
    raise MailerUnavailable(f"{options.where} cannot be reached: {reason}", Trouble.CONNECT) from failure


@cache
def _host_name() -> str:
    # Not getfqdn(): it asks the name service, which can hang for as long as it likes.
    name = socket.gethostname()
    return name if _FULL_NAME.match(name) else ""


def _own_name(sock: socket.socket) -> str:
    """Return what EHLO calls us: the host's full name, or the address literal of our end (RFC 5321 §4.1.3)."""
    if name := _host_name():
        return name
    try:
        address = str(sock.getsockname()[0]).partition("%")[0]
    except OSError:
        address = "127.0.0.1"
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"


@contextmanager
def _step(dialogue: Dialogue, options: SessionOptions, budget: Budget, name: str) -> Iterator[None]:
    """Give a step its deadline, and say in which one a connection was lost."""
    dialogue.deadline = budget.step()
    try:
        yield
    except ConnectionLost as lost:
        trouble = Trouble.GREETING if lost.loss is Loss.MALFORMED else Trouble.CONNECT
        raise MailerUnavailable(
            f"{options.where}: {lost}, in {name}{_late(dialogue, options, budget, lost)}", trouble
        ) from lost


def _late(dialogue: Dialogue, options: SessionOptions, budget: Budget, lost: ConnectionLost) -> str:
    if lost.loss is not Loss.TIMED_OUT:
        return ""
    return budget.reason(dialogue.deadline) or f": it was not over within {options.timeout:g} s (timeout)"


def _greet(dialogue: Dialogue, options: SessionOptions, budget: Budget) -> None:
    with _step(dialogue, options, budget, "the greeting"):
        reply = dialogue.read_reply()
    if reply.code != 220:
        raise _refused(options, "does not greet", Trouble.GREETING, reply)
    _say_hello(dialogue, options, budget)


def _say_hello(dialogue: Dialogue, options: SessionOptions, budget: Budget) -> None:
    with _step(dialogue, options, budget, "EHLO"):
        code, text = dialogue.ehlo()
    if 500 <= code < 600:
        # RFC 5321 §3.2: a server that knows no EHLO is spoken to without extensions.
        with _step(dialogue, options, budget, "HELO"):
            code, text = dialogue.helo()
    if code != 250:
        shown = Reply(code, replies.printable(text.decode("utf-8", "replace")))
        raise _refused(options, "refuses EHLO", Trouble.GREETING, shown)


def _start_tls(dialogue: Dialogue, options: SessionOptions, budget: Budget, context: ssl.SSLContext) -> None:
    if not dialogue.has_extn("starttls"):
        text = (
            f"{options.where} does not offer STARTTLS, which use_tls (EMAIL_USE_TLS) asks for; nothing was sent in "
            "plain text: correct the port, or use_ssl (EMAIL_USE_SSL) if the relay has TLS from the start"
        )
        raise MailerUnavailable(text, Trouble.TLS)
    with _step(dialogue, options, budget, "STARTTLS"):
        reply = dialogue.ask(b"STARTTLS")
    if reply.code != 220:
        raise _refused(options, "refuses STARTTLS", Trouble.TLS, reply)
    _secure(dialogue, options, budget, context)
    # RFC 3207 §4.2: what was offered in plain text is forgotten.
    _say_hello(dialogue, options, budget)


def _secure(dialogue: Dialogue, options: SessionOptions, budget: Budget, context: ssl.SSLContext) -> None:
    try:
        dialogue.deadline = budget.step()
        dialogue.secure(context, options.host)
    except ConnectionLost as lost:
        text = f"{options.where}: {lost}, in the TLS handshake{_late(dialogue, options, budget, lost)}"
        raise MailerUnavailable(text, Trouble.TLS) from lost
    except ssl.SSLCertVerificationError as error:
        text = f"the certificate of {options.where} is not trusted: {error.verify_message}"
        raise MailerUnavailable(text, Trouble.TLS) from error
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        hint = "; is use_tls (EMAIL_USE_TLS) meant?" if options.use_ssl else ""
        raise MailerUnavailable(f"no TLS with {options.where}: {reason}{hint}", Trouble.TLS) from error


def _log_in(dialogue: Dialogue, options: SessionOptions, budget: Budget, login: sasl.Login) -> None:
    offered = str(dialogue.esmtp_features.get("auth", ""))
    mechanisms = sasl.supported(offered, login.mechanisms)
    if not mechanisms:
        shown = replies.printable(offered) or "no AUTH at all"
        hint = "" if options.use_tls or options.use_ssl else ", perhaps because TLS is off"
        text = f"{options.where} offers {shown}{hint}; expected one of {', '.join(login.mechanisms)} to log in with"
        raise MailerUnavailable(text, Trouble.AUTH_REFUSED)
    with _step(dialogue, options, budget, "AUTH"):
        reply = login.log_in(dialogue, mechanisms)
    if reply.is_transient:
        text = f"{options.where} cannot check the login now ({replies.code_only(reply)})"
        raise MailerUnavailable(text, Trouble.AUTH_TEMPORARY, reply)
    if not 200 <= reply.code < 300:
        text = f"{options.where} refuses the login ({replies.code_only(reply)}): {login.advice}"
        raise MailerUnavailable(text, Trouble.AUTH_REFUSED, reply)


def _check_is_in_step(dialogue: Dialogue, options: SessionOptions) -> None:
    if dialogue.has_unread:
        raise MailerUnavailable(f"{options.where} says more than it was asked", Trouble.GREETING)


def _refused(options: SessionOptions, what: str, trouble: Trouble, reply: Reply) -> MailerUnavailable:
    return MailerUnavailable(f"{options.where} {what}: {replies.without_addresses(reply)}", trouble, reply)
