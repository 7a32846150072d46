"""Finds the templates of a mail by its name and language, compiles them, and keeps them.

All of them come from one language: `welcome.de-at.html`, else `welcome.de.html`, else `welcome.html`; a text in one language
beside HTML in another would be two mails in one. With an engine whose files do not change, each mail's are looked for once a
process.
"""

from __future__ import annotations

from mailworker import settings
from mailworker.errors import TemplateError
from mailworker.mail.attachment import guessed_type
from mailworker.mail.template import engine as engines
from mailworker.mail.template.engine import Engine
from mailworker.mail.template.image import InlineImage
from mailworker.mail.template.mail_template import MailTemplate

_kept: tuple[Engine, dict[tuple[str, str | None], MailTemplate]] | None = None


def load(name: str, language: str | None = None) -> MailTemplate:
    """Return the templates of a mail.

    Args:
        name: without language and ending, with "/" between folders: "orders/shipped".
        language: such as "de" or "de-at"; None = the files without one.

    Raises:
        ConfigurationError: no engine is installed, or a setting is wrong.
        TemplateError: there are none of that name, or one cannot be compiled.
        TypeError: the name or the language is no text.
    """
    global _kept
    if not isinstance(name, str):
        raise TypeError(f"the name of a template is {type(name).__name__}; expected text, such as 'welcome'")
    if language is not None and not isinstance(language, str):
        raise TypeError(f"language is {type(language).__name__}; expected text, such as 'de' or 'de-at'")
    engine = engines.current()
    if _kept is None or _kept[0] is not engine:
        _kept = (engine, {})
    kept = _kept[1]
    found = kept.get((name, language))
    if found is None:
        found = _found(engine, name, language)
        if engine.is_static:
            kept[name, language] = found
    return found


def _found(engine: Engine, name: str, language: str | None) -> MailTemplate:
    looked: list[str] = []
    for stem in _stems(name, language):
        text, html = engine.find(f"{stem}.txt"), engine.find(f"{stem}.html")
        looked += [f"{stem}.txt", f"{stem}.html"]
        if text is not None or html is not None:
            subject = engine.find(f"{stem}.subject.txt")
            inlines = settings.current().MAILWORKER_INLINE_CSS
            return MailTemplate(name, subject, text, html, _Images(engine), inlines)
    hint = "; give its name without an ending" if name.endswith((".txt", ".html")) else ""
    raise TemplateError(f"there is no template {name!r}: looked for {', '.join(looked)} in {engine.where}{hint}")


def _stems(name: str, language: str | None) -> list[str]:
    if not language:
        return [name]
    tag = language.lower().replace("_", "-")
    return list(dict.fromkeys([f"{name}.{tag}", f"{name}.{tag.partition('-')[0]}", name]))


class _Images:
    """Finds images beside the templates, and reads each once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._found: dict[str, InlineImage] = {}

    def __call__(self, path: str) -> InlineImage | None:
        image = self._found.get(path)
        if image is not None or not guessed_type(path).startswith("image/"):
            return image
        content = self._engine.file(path)
        if content is None:
            return None
        image = InlineImage.of(path, content)
        if self._engine.is_static:
            self._found[path] = image
        return image
