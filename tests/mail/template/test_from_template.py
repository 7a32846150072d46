"""Messages from templates by Jinja2: what they say, and what is told about a template that is wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from email.mime.image import MIMEImage
from pathlib import Path

import pytest

from mailworker import ConfigurationError, EmailMessage, EmailMultiAlternatives, TemplateError, settings
from mailworker.mail.template import load
from mailworker.testing import ScriptedServer
from tests.processes import clean_environment

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Iterator[Write]:
    """Write templates; names with __ in place of dots."""

    def written(**files: str | bytes) -> Path:
        for name, content in files.items():
            path = tmp_path / name.replace("__", ".").replace("_in_", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path

    with settings.override(MAILWORKER_TEMPLATES=[tmp_path], MAILWORKER_TEMPLATE_ENGINE="jinja2"):
        yield written


def html_of(message: EmailMultiAlternatives) -> str:
    ((content, mimetype),) = message.alternatives
    assert mimetype == "text/html"
    return str(content)


def test_subject_text_and_html_come_from_their_files(write: Write) -> None:
    write(
        welcome__subject__txt="Welcome, {{ name }}\n",
        welcome__txt="Hello {{ name }}.\n",
        welcome__html="<p>Hello {{ name }}.</p>",
    )
    message = EmailMessage.from_template(
        "welcome", {"name": "Ann & Bob"}, to=["ann@example.com"], bcc=["b@example.com"], reply_to=["c@example.com"]
    )
    assert type(message) is EmailMultiAlternatives
    assert (message.subject, message.body) == ("Welcome, Ann & Bob", "Hello Ann & Bob.\n")
    assert html_of(message) == "<p>Hello Ann &amp; Bob.</p>"
    assert (message.recipients(), message.reply_to) == (["ann@example.com", "b@example.com"], ["c@example.com"])


def test_a_subject_is_one_line_whatever_the_context_holds(write: Write) -> None:
    write(order__subject__txt="\nOrder of\n  {{ name }}\n\n", order__txt="x")
    message = EmailMessage.from_template("order", {"name": "Ann\r\nBcc: eve@example.com\u2028\tB"})
    assert message.subject == "Order of Ann Bcc: eve@example.com B"
    message.message()


def test_only_html_is_escaped_in_included_files_too(write: Write) -> None:
    write(
        a__txt="{% include 'foot.txt' %}",
        foot__txt="{{ x }}",
        a__html="{% extends 'base.html' %}{% block body %}{{ x }}{% endblock %}",
        base__html="<b>{% block body %}{% endblock %}{{ x }}</b>",
    )
    message = EmailMessage.from_template("a", {"x": "<&>"}, subject="S")
    assert (message.subject, message.body, html_of(message)) == ("S", "<&>", "<b>&lt;&amp;&gt;&lt;&amp;&gt;</b>")


def test_a_text_is_made_from_html_where_there_is_none(write: Write) -> None:
    write(
        a__html='<h1>Hi {{ x }}</h1><p>Your <a href="https://shop.example/1">order</a> &amp; more<img src="x.png"></p>'
    )
    message = EmailMessage.from_template("a", {"x": "Ann"}, subject="S")
    assert message.body == "# Hi Ann\n\nYour [order](https://shop.example/1) & more\n"


def test_a_text_alone_is_a_mail(write: Write) -> None:
    write(a__txt="Text.", a__subject__txt="S")
    message = EmailMessage.from_template("a")
    assert (message.body, message.alternatives) == ("Text.", [])


def test_a_subclass_gets_a_message_of_its_own_class(write: Write) -> None:
    class Letter(EmailMultiAlternatives):
        pass

    write(a__txt="Text.")
    assert type(Letter.from_template("a", subject="S")) is Letter


@pytest.mark.parametrize(
    ("language", "subject", "body"),
    [
        (None, "Hello", "Hi"),
        ("de", "Hallo", "Tag"),
        ("de-AT", "Servus", "Griaß di"),
        ("de_CH", "Hallo", "Tag"),
        ("fr", "Hello", "Hi"),
    ],
)
def test_a_language_is_taken_as_a_whole(write: Write, language: str | None, subject: str, body: str) -> None:
    write(a__subject__txt="Hello", a__txt="Hi", a__html="<p>Hi</p>")
    folder = write(a__de__subject__txt="Hallo", a__de__html="<p>Tag</p>")
    (folder / "a.de-at.txt").write_text("Griaß di")
    (folder / "a.de-at.subject.txt").write_text("Servus")
    message = EmailMessage.from_template("a", language=language)
    assert (message.subject, message.body.strip()) == (subject, body)


def test_folders_are_looked_into_in_order_and_packages_too(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(a__txt="first", a__subject__txt="S")
    package = tmp_path / "shop_of_templates"
    (package / "mails").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "mails" / "a.txt").write_text("second")
    (package / "mails" / "b.txt").write_text("second")
    monkeypatch.syspath_prepend(tmp_path)
    with settings.override(MAILWORKER_TEMPLATES=f"{tmp_path},shop_of_templates:mails"):
        assert EmailMessage.from_template("a").body == "first"
        assert EmailMessage.from_template("b", subject="S").body == "second"
    with (
        settings.override(MAILWORKER_TEMPLATES="no_such_shop:mails"),
        pytest.raises(
            ConfigurationError, match=r"MAILWORKER_TEMPLATES: got 'no_such_shop:mails', and there is no package"
        ),
    ):
        EmailMessage.from_template("a")


def test_a_template_is_read_once_and_rendered_without_any_file(write: Write) -> None:
    folder = write(a__txt="{{ x }}", a__html='<img src="cid:logo.png">{{ x }}', logo__png=b"\x89PNG")
    first = EmailMessage.from_template("a", {"x": 1}, subject="S")
    for path in folder.iterdir():
        path.unlink()
    again = EmailMessage.from_template("a", {"x": 2}, subject="S")
    assert (first.body, again.body, len(again.attachments)) == ("1", "2", 1)
    assert load("a") is load("a")


def test_filters_are_added_by_a_function(write: Write) -> None:
    write(a__txt="{{ 1234 | money }}")
    with settings.override(
        MAILWORKER_TEMPLATE_SETUP=lambda env: env.filters.update(money=lambda cents: f"{cents / 100} €")
    ):
        assert EmailMessage.from_template("a", subject="S").body == "12.34 €"
    with (
        settings.override(MAILWORKER_TEMPLATE_SETUP="no_such_shop:set_up"),
        pytest.raises(
            ConfigurationError, match="MAILWORKER_TEMPLATE_SETUP: got 'no_such_shop:set_up', which cannot be imported"
        ),
    ):
        EmailMessage.from_template("a", subject="S")


def test_a_byte_order_mark_is_no_part_of_a_mail(write: Write) -> None:
    write(a__subject__txt=b"\xef\xbb\xbfHello", a__txt="\ufeffText.")
    message = EmailMessage.from_template("a")
    assert (message.subject, message.body) == ("Hello", "Text.")


def test_an_image_may_have_a_space_in_its_name(write: Write) -> None:
    folder = write(a__html='<img src="cid:our logo.png">')
    (folder / "our logo.png").write_bytes(b"x")
    message = EmailMessage.from_template("a", subject="S")
    (image,) = message.attachments
    assert f'src="cid:{str(image["Content-ID"]).strip("<>")}"' in html_of(message)
    assert image.get_filename() == "our logo.png"


# What is told.


def failure(name: str = "a", context: dict[str, object] | None = None, **fields: str) -> str:
    with pytest.raises(TemplateError) as caught:
        EmailMessage.from_template(name, context, subject="S" if not fields else None)
    return str(caught.value)


def test_a_template_that_is_not_there_says_where_was_looked(write: Write) -> None:
    folder = write(b__txt="x")
    assert failure("a") == f"there is no template 'a': looked for a.txt, a.html in {folder}"
    assert failure("b.txt").endswith(f" in {folder}; give its name without an ending")
    assert failure("../b").startswith("there is no template '../b': looked for ../b.txt")


def test_a_missing_variable_is_one_sentence_with_file_and_line(write: Write) -> None:
    folder = write(a__txt="Hello\n{{ nmae }}", b__html="{{ user.nmae }}", c__txt="{% include 'a.txt' %}")
    assert failure("a", {"name": "secret", "age": 7}) == (
        f"{folder}/a.txt, line 2: 'nmae' is undefined; the context has age, name"
    )
    assert failure("b", {"user": {}}) == (
        f"{folder}/b.html, line 1: 'dict object' has no attribute 'nmae'; the context has user"
    )
    assert failure("c") == f"{folder}/a.txt, line 2: 'nmae' is undefined; the context has nothing"


def test_a_template_that_cannot_be_compiled_says_file_and_line(write: Write) -> None:
    folder = write(a__txt="Hello\n\n{% if %}", b__txt="{% include 'no.txt' %}", c__txt=b"\xff")
    assert failure("a") == f"{folder}/a.txt, line 3: Expected an expression, got 'end of statement block'"
    assert failure("b") == f"{folder}/b.txt, line 1: it uses 'no.txt', which is not in {folder}"
    assert failure("c") == "c.txt: it is not UTF-8, as templates have to be"
    write(
        d__txt="Hello\n{% if x is nosuch %}{% endif %}",
        e__txt="{{ x | nosuch }}",
        f__txt="{% if y %}{{ x | nosuch }}{% endif %}",
    )
    assert failure("d", {"x": 1}) == f"{folder}/d.txt, line 2: No test named 'nosuch' found."
    assert failure("e", {"x": 1}) == f"{folder}/e.txt, line 1: No filter named 'nosuch'."
    assert failure("f", {"x": 1, "y": 1}) == f"{folder}/f.txt, line 1: No filter named 'nosuch' found."


def test_an_image_outside_of_the_templates_folders_is_none(write: Write, tmp_path: Path) -> None:
    folder = write(a__html='<img src="cid:{{ x }}">', own_in_logo__png=b"x", logo__png=b"x")
    with settings.override(MAILWORKER_TEMPLATES=folder / "own"):
        write(own_in_a__html='<img src="cid:{{ x }}">')
        assert len(EmailMessage.from_template("a", {"x": "logo.png"}, subject="S").attachments) == 1
        for path in ("../logo.png", f"{folder}/logo.png", "a.html", "../a.html"):
            assert failure("a", {"x": path}) == (
                f"a.html: cid:{path} is no image beside the templates, and no attachment of the message"
            )


def test_a_mail_without_a_subject_is_told(write: Write) -> None:
    write(a__txt="x")
    with pytest.raises(TemplateError) as caught:
        EmailMessage.from_template("a")
    assert str(caught.value) == (
        "the template 'a' has no subject: write a.subject.txt beside its other files, or give subject="
    )


def test_wrong_types_are_told(write: Write) -> None:
    write(a__txt="x")
    with pytest.raises(TypeError, match="the context is list; expected a mapping of names to values"):
        EmailMessage.from_template("a", [1], subject="S")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the name of a template is int; expected text, such as 'welcome'"):
        EmailMessage.from_template(7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="language is int; expected text, such as 'de' or 'de-at'"):
        EmailMessage.from_template("a", language=7)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="the context has 1 for a name, which is int; expected text"):
        EmailMessage.from_template("a", {1: "x"}, subject="S")  # type: ignore[dict-item]


def test_what_the_code_of_a_variable_raises_goes_through_with_the_templates_line(write: Write) -> None:
    folder = write(a__txt="Hello\n{{ 1 / x }}")
    with pytest.raises(ZeroDivisionError) as caught:
        EmailMessage.from_template("a", {"x": 0}, subject="S")
    last = caught.traceback[-1]
    assert (str(last.path), last.lineno + 1) == (f"{folder}/a.txt", 2)


def test_nothing_of_an_error_is_the_contexts_values(write: Write) -> None:
    write(a__txt="{{ user.name.first }}")
    assert "hunter2" not in failure("a", {"user": {"name": "hunter2"}, "password": "hunter2"})


@pytest.mark.parametrize(
    ("missing", "code", "said"),
    [
        ("jinja2", "", "templates need jinja2, which is not installed; run: pip install 'mailworker[templates]'"),
        (
            "html2text",
            "",
            "a.html has no .txt beside it, and making the text from the HTML needs html2text, which is not ",
        ),
        (
            "css_inline",
            "open('a.txt', 'w')",
            "MAILWORKER_INLINE_CSS needs css-inline, which is not installed; run: pip ",
        ),
    ],
)
def test_a_library_that_is_not_installed_is_one_sentence(tmp_path: Path, missing: str, code: str, said: str) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "a.html").write_text("<p>x")
    program = f"""
import os, sys
sys.modules[{missing!r}] = None
import mailworker
mailworker.configure(MAILWORKER_INLINE_CSS=True)
if {bool(code)}:
    open("templates/a.txt", "w").close()
try:
    mailworker.EmailMessage.from_template("a", subject="S")
except mailworker.ConfigurationError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, env=clean_environment()
    )
    assert done.stderr == ""
    assert done.stdout.startswith(said)


def test_a_program_without_templates_loads_no_engine() -> None:
    program = "import sys, mailworker; mailworker.EmailMessage('s', 'b'); print({'jinja2', 'html2text', 'mailworker.mail.template'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=clean_environment())
    assert done.stdout == "set()\n"


def test_rules_of_style_go_into_attributes_where_that_is_wanted(write: Write) -> None:
    write(a__txt="x", a__html="<style>p {color: red} @media print {p {color: blue}}</style><p>{{ x }}</p>")
    with settings.override(MAILWORKER_INLINE_CSS=True):
        html = html_of(EmailMessage.from_template("a", {"x": "ü & <"}, subject="S"))
    assert '<p style="color: red;">ü &amp; &lt;</p>' in html
    assert "@media print" in html


def test_rules_that_no_attribute_can_hold_stay_where_that_is_asked_for(write: Write) -> None:
    write(
        a__txt="x",
        a__html='<style data-css-inline="keep">a:hover {color: red}</style><style>a {color: blue}</style><a>x</a>',
    )
    with settings.override(MAILWORKER_INLINE_CSS=True):
        html = html_of(EmailMessage.from_template("a", subject="S"))
    assert '<a style="color: blue;">' in html
    assert "a:hover {color: red}</style>" in html


def test_what_comes_from_templates_goes_the_whole_way(write: Write, smtp_server: ScriptedServer) -> None:
    write(
        a__subject__txt="Grüße",
        a__txt="Text.",
        a__html='<p>Hi</p><img alt="" src="cid:img/logo.png"><img src="cid:mine@x">',
        img_in_logo__png=b"\x89PNG..",
    )
    mine = MIMEImage(b"GIF89a", "gif")
    mine["Content-ID"] = "<mine@x>"
    message = EmailMessage.from_template("a", from_email="a@example.com", to=["b@example.com"], attachments=[mine])
    message.attach("terms.pdf", b"%PDF", "application/pdf")
    assert message.send() == 1
    (received,) = smtp_server.messages
    assert _tree(received.parsed) == [
        "multipart/mixed",
        ["multipart/alternative", "text/plain", ["multipart/related", "text/html", "image/gif", "image/png"]],
        "application/pdf",
    ]
    gif, logo, terms = received.attachments
    assert (logo.name, logo.content, logo.is_inline) == ("logo.png", b"\x89PNG..", True)
    assert f'src="cid:{logo.content_id}"' in received.html
    assert 'src="cid:mine@x"' in received.html
    assert (gif.content_id, terms.content_id, received.subject) == ("mine@x", "", "Grüße")


def _tree(part: object) -> object:
    kind = part.get_content_type()  # type: ignore[attr-defined]
    if not kind.startswith("multipart/"):
        return kind
    return [kind, *(_tree(inner) for inner in part.iter_parts())]  # type: ignore[attr-defined]
