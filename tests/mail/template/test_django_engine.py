"""Templates in a Django project: Django's engine reads them, in a process where Django is configured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import clean_environment

PROJECT = """
import sys
import django
from django.conf import settings
settings.configure(
    {templates},
    MAILWORKER={{"TASK_ALWAYS_EAGER": True, "TEMPLATE_ENGINE": {engine!r}}}, EMAIL_DELIVERY_BACKEND="mailworker.mail.backends.locmem.EmailBackend",
    EMAIL_BACKEND="mailworker.mail.backends.queue.EmailBackend",
)
django.setup()
from mailworker import ConfigurationError, EmailMessage, TemplateError, outbox
"""
DJANGO = 'TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": ["mails"]}]'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mails").mkdir()
    (tmp_path / "templates").mkdir()
    return tmp_path


def run(folder: Path, code: str, templates: str = DJANGO, engine: str | None = None) -> str:
    program = PROJECT.format(templates=templates, engine=engine) + code
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=folder, env=clean_environment()
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_djangos_engine_reads_what_a_django_project_has(folder: Path) -> None:
    files = {
        "a.subject.txt": "{% spaceless %}\nFor {{ name }}{% endspaceless %}\n",
        "a.txt": "{% include 'foot.txt' %}{{ missing }}",
        "foot.txt": "Hello {{ name|upper }}",
        "a.html": "{% extends 'base.html' %}{% block body %}<img src='cid:logo.png'>{{ name }}{% endblock %}",
        "base.html": "<b>{% block body %}{% endblock %}</b>",
        "logo.png": "png",
    }
    for name, content in files.items():
        (folder / "mails" / name).write_text(content)
    output = run(
        folder,
        """
message = EmailMessage.from_template("a", {"name": "Ann & Bob"}, to=["ann@example.com"])
print(message.subject, "|", message.body, "|", message.alternatives[0].content)
assert message.send() == 1
(logo,) = outbox[0].attachments
assert f"src='cid:{logo['Content-ID'].strip('<>')}'" in message.alternatives[0].content
assert "jinja2" not in sys.modules
""",
    )
    subject, text, html = (part.strip() for part in output.split("|"))
    assert (subject, text) == ("For Ann & Bob", "Hello ANN & BOB")
    assert html.endswith("'>Ann &amp; Bob</b>")


def test_what_is_wrong_is_told_in_the_same_words(folder: Path) -> None:
    (folder / "mails" / "a.txt").write_text("Hello\n{% fi %}")
    (folder / "mails" / "b.html").write_text("{% extends 'no.html' %}")
    (folder / "mails" / "c.txt").write_text("x")
    output = run(
        folder,
        """
for name in ("a", "b", "no", "c"):
    try:
        EmailMessage.from_template(name, subject=None if name == "c" else "S")
    except TemplateError as error:
        print(error)
""",
    )
    syntax, base, missing, subject = output.splitlines()
    assert syntax.startswith("a.txt, line 2: Invalid block tag")
    assert base == "b.html: it uses 'no.html', which is not in mails"
    assert missing == "there is no template 'no': looked for no.txt, no.html in mails"
    assert subject.startswith("the template 'c' has no subject: write c.subject.txt")


@pytest.mark.parametrize(("templates", "engine"), [("TEMPLATES=[]", None), (DJANGO, "jinja2")])
def test_jinja_reads_where_django_has_no_templates_or_it_is_asked_for(
    folder: Path, templates: str, engine: str | None
) -> None:
    (folder / "templates" / "a.txt").write_text("{{ 1 + 1 }}")
    assert run(folder, "print(EmailMessage.from_template('a', subject='S').body)", templates, engine) == "2\n"


def test_a_project_without_djangos_own_engine_is_told(folder: Path) -> None:
    output = run(
        folder,
        """
try:
    EmailMessage.from_template("a")
except ConfigurationError as error:
    print(error)
""",
        'TEMPLATES=[{"BACKEND": "django.template.backends.jinja2.Jinja2"}]',
    )
    assert output.startswith("TEMPLATES has no engine of django.template.backends.django.DjangoTemplates")
