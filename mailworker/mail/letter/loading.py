"""Makes a letter of templates: finds them, gathers what they use, and looks at what can be wrong before any row is seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mailworker import settings
from mailworker.errors import ConfigurationError, TemplateError
from mailworker.mail import unsubscribe
from mailworker.mail.attachment import guessed_type
from mailworker.mail.check import check_is_list, check_message
from mailworker.mail.header import check_name, check_value
from mailworker.mail.letter.binding import Bound, binder
from mailworker.mail.letter.filled import SENDER, UNSUBSCRIBE_URL, fields_of, header_name, reply_name
from mailworker.mail.letter.letter import Letter
from mailworker.mail.letter.reading import together
from mailworker.mail.message import EmailMessage
from mailworker.mail.render import render
from mailworker.mail.template import engine as engines
from mailworker.mail.template.engine import Engine
from mailworker.mail.template.html import text_of, with_inlined_css
from mailworker.mail.template.image import references
from mailworker.mail.template.loading import load
from mailworker.settings.rule import BadValue
from mailworker.settings.unsubscribe import UnsubscribeUrl

#: Stands for a field that only a row fills in, where the others are looked at.
_SOMEBODY = "somebody@example.com"


def loaded(
    template: str,
    *,
    to: str,
    from_email: str | None,
    reply_to: Sequence[str],
    headers: Mapping[str, str],
    language: str | None,
    unsubscribe_url: str | None,
    manners: bool,
) -> Letter:
    """Return a letter, see `Letter.load`."""
    conf = settings.current()
    _check_types(to, from_email, reply_to, headers)
    found = load(template, language)
    if found.subject is None:
        stem = (found.text or found.html).name.rpartition(".")[0]  # type: ignore[union-attr]  # it has one of them
        raise TemplateError(
            f"the template {template!r} has no subject, which a bulk's mails need: write {stem}.subject.txt"
        )
    engine, kind = engines.current(), engines.name_of(conf)
    html = None if found.html is None else found.html.name
    bodies = [each.name for each in (found.text, found.html) if each is not None]
    fields = fields_of(from_email or conf.DEFAULT_FROM_EMAIL, reply_to, headers)
    sources = binder(kind).gathered(engine, [found.subject.name, *bodies], fields)
    bound = binder(kind).bound(conf, {**sources, **fields})
    for name in (*fields, *sources):
        bound.compiled(name)
    # A library that is missing is told now, and not by a worker.
    if html is not None and found.text is None:
        text_of("", html)
    if found.inlines_css:
        with_inlined_css("<p>")
    link = _link(conf.MAILWORKER_UNSUBSCRIBE_URL if unsubscribe_url is None else unsubscribe_url)
    letter = Letter(
        template=template,
        engine=kind,
        subject=found.subject.name,
        text=None if found.text is None else found.text.name,
        html=html,
        sources=sources,
        images=_images(engine, bound, [] if html is None else binder(kind).gathered(engine, [html], {})),
        inlines_css=found.inlines_css,
        to=to,
        from_email=fields[SENDER],
        reply_to=tuple(reply_to),
        # In an order that does not depend on who says them.
        headers={name: str(value) for name, value in sorted(headers.items())},
        columns=_columns(bound, [found.subject.name, *bodies, *fields], to, link),
        unsubscribe_url=link,
        manners=manners,
    )
    _check_fields(letter, bound)
    return letter


def _check_types(to: Any, from_email: Any, reply_to: Any, headers: Any) -> None:
    check_is_list("reply_to", reply_to)
    if not isinstance(headers, Mapping):
        raise TypeError(f"headers is {type(headers).__name__}: expected a mapping of names to values")
    texts = {"to": to, "from_email": from_email or "", **{f"reply_to[{at}]": each for at, each in enumerate(reply_to)}}
    for name, value in (*texts.items(), *((f"headers[{name!r}]", value) for name, value in headers.items())):
        if not isinstance(value, str):
            raise TypeError(f"{name} is {type(value).__name__}: expected text")
    if not to:
        raise ValueError("to is empty: expected the name of the column with the recipient")


def _link(url: str | None) -> str:
    """Return the template of the links, "" if there is none."""
    if not url:
        return ""
    rule = UnsubscribeUrl()
    try:
        rule.parse(url)
    except BadValue:
        raise ConfigurationError(f"unsubscribe_url must be {rule.expects()}, such as {rule.example}") from None
    # As is a key.
    unsubscribe.token(_SOMEBODY)
    return url


def _columns(bound: Bound, names: Iterable[str], to: str, link: str) -> tuple[str, ...] | None:
    """Return the columns that templates look at and the recipient's; None if they may look at any."""
    reading = together(bound.reading(name) for name in names)
    ours = {UNSUBSCRIBE_URL} if link else set()
    return tuple(sorted((reading.names | {to}) - ours)) if reading.is_complete else None


def _images(engine: Engine, bound: Bound, names: Iterable[str]) -> dict[str, bytes]:
    """Return the images that HTML shows, by their files' names."""
    images: dict[str, bytes] = {}
    for name in names:
        for path in references(bound.outline(name)):
            if "\0" in path:
                raise TemplateError(
                    f"{name}: the name of an image behind cid: depends on a variable; a bulk's images are put together before "
                    "its first row, so write the names out, each in an element of its own"
                )
            if path in images or "@" in path:
                continue
            content = engine.file(path) if guessed_type(path).startswith("image/") else None
            if content is None:
                raise TemplateError(f"{name}: cid:{path} is no image beside the templates")
            images[path] = content
    return images


def _check_fields(letter: Letter, bound: Bound) -> None:
    """Check what does not depend on a row as a message's fields are checked, and that nothing else brings a line break along."""
    for name, value in letter.headers.items():
        check_value(check_name(name), value)
    for value in (letter.from_email, *letter.reply_to):
        check_value("from_email or reply_to", value)

    def shown(name: str) -> str:
        constant = bound.constant(name)
        return _SOMEBODY if constant is None else constant

    message = EmailMessage(
        "",
        "",
        shown(SENDER),
        [_SOMEBODY],
        headers={name: shown(header_name(name)) for name in letter.headers},
        reply_to=[shown(reply_name(place)) for place in range(len(letter.reply_to))],
    )
    check_message(message)
    render(message)
