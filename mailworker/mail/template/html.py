"""What becomes of rendered HTML: a text part for readers that show none, and rules of style where mail programs look for them."""

from __future__ import annotations

from mailworker.errors import ConfigurationError


def text_of(html: str, name: str) -> str:
    """Return HTML as text, with links in brackets behind their words and without images.

    Args:
        html: a page or a piece of one.
        name: of its template, for errors.

    Raises:
        ConfigurationError: html2text is not installed.
    """
    try:
        from html2text import HTML2Text
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"{name} has no .txt beside it, and making the text from the HTML needs html2text, which is not installed; write "
            "one, or run: pip install 'mailworker[templates]'"
        ) from error
    made = HTML2Text(bodywidth=0)
    made.ignore_images = True
    made.unicode_snob = True
    text = made.handle(html).strip()
    return f"{text}\n" if text else ""


def with_inlined_css(html: str) -> str:
    """Return HTML with the rules of its style elements in attributes; rules for a medium stay where they are.

    Nothing is loaded, from the web or from disk.

    Raises:
        ConfigurationError: css-inline is not installed.
    """
    try:
        from css_inline import CSSInliner
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "MAILWORKER_INLINE_CSS needs css-inline, which is not installed; run: pip install 'mailworker[css]'"
        ) from error
    return CSSInliner(keep_at_rules=True, load_remote_stylesheets=False).inline(html)
