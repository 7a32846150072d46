"""Letters of bulks in a Django project: its own engine reads them, and asks for variables that a row lacks."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.djangos import ROOT
from tests.processes import clean_environment

TAGS = """
from django import template
register = template.Library()

@register.simple_tag
def shout(text):
    return f"{text}!"

@register.simple_tag(takes_context=True)
def secret(context):
    return context["hidden"]

@register.inclusion_tag("foot.txt")
def foot(name):
    return {"name": name}
"""

PROJECT = """
import shutil
import sys
import django
from datetime import UTC, date, datetime
from django.conf import settings
from pathlib import Path
settings.configure(
    TEMPLATES=[{
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": ["mails"],
        "OPTIONS": {"libraries": {"tags": "tags"}, "string_if_invalid": "INVALID %s"},
    }],
    MAILWORKER={"TASK_ALWAYS_EAGER": True},
    DEFAULT_FROM_EMAIL="shop@example.com",
    USE_I18N=True,
)
django.setup()
from mailworker import TemplateError
from mailworker.mail.letter import BadRow, Letter, RowCheck, read_row, write_row
from mailworker.mail.sealing import Sealer

def message(letter, **values):
    values = {"email": "ann@example.com", **values}
    letter = Letter.decode(letter.encode(Sealer()), Sealer())
    RowCheck(letter, None).check(values)
    _, row = read_row(write_row(letter, values, Sealer()), Sealer())
    return letter.message(row, mail_id="0" * 32, bulk="b", date=datetime(2026, 12, 1, tzinfo=UTC))

def refused(letter, **values):
    try:
        message(letter, **values)
    except BadRow as bad:
        return bad.reason
    raise AssertionError("it was taken")

def wrong():
    try:
        Letter.load("news")
    except TemplateError as error:
        return str(error)
    raise AssertionError("it was loaded")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mails").mkdir()
    (tmp_path / "tags.py").write_text(TAGS)
    return tmp_path


def run(python: str, folder: Path, code: str, **files: str) -> list[str]:
    """Write templates, run a program, and return its lines."""
    for name, content in {"news__subject__txt": "x", **files}.items():
        (folder / "mails" / name.replace("__", ".")).write_text(content)
    done = subprocess.run(
        [python, "-c", PROJECT + code],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**clean_environment(), "PYTHONPATH": str(ROOT)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_a_worker_without_templates_renders_with_the_projects_tags(python: str, folder: Path) -> None:
    lines = run(
        python,
        folder,
        """
letter = Letter.load("news", from_email="{{ agent }} <{{ agent_email }}>", headers={"X-A": "{{ name|upper }}"})
shutil.rmtree("mails")
made = message(letter, name="A & B", agent="Bob", agent_email="bob@example.com", unused=object())
print(made.subject, "|", made.body, "|", made.alternatives[0].content, "|", made.from_email, made.extra_headers["X-A"])
print(len(made.attachments), letter.engine, letter.columns)
""",
        news__subject__txt="{% spaceless %}\nFor {{ name }}{% endspaceless %}\n",
        news__txt="{% load tags %}{% shout name %} {% include './part.txt' with more=name %} {% foot name %}",
        part__txt="{{ more|lower }}",
        foot__txt="bye {{ name }}",
        news__html="{% extends 'base.html' %}{% block body %}<img src='cid:logo.png'>{{ name }}{% endblock %}",
        base__html="<b>{% block body %}{% endblock %}</b>",
        logo__png="png",
    )
    image = "<b><img src='cid:"
    assert lines[0].startswith(f"For A & B | A & B! a & b bye A & B | {image}")
    assert lines[0].endswith("'>A &amp; B</b> | Bob <bob@example.com> A & B")
    assert lines[1] == "1 django ('agent', 'agent_email', 'email', 'more', 'name')"


def test_a_variable_that_a_row_lacks_is_no_empty_text(python: str, folder: Path) -> None:
    lines = run(
        python,
        folder,
        """
letter = Letter.load("news")
good = dict(name="Ann", city="Ulm")
print(message(letter, **good).body)
print(refused(letter, city="Ulm"))
print(refused(letter, name=None, city="Ulm"))
print(refused(letter, name="Ann"))
print(refused(letter, **good, vip=True))
print(message(letter, **good, vip=True, code="7", nick="Annie", items=["a"], one="1").body)
print(refused(letter, **good, since=date(2026, 12, 1)))
""",
        news__txt=(
            "{% load i18n %}{{ name }}{% if vip %}{{ code }}{% endif %}{{ nick|default:'-' }}{{ none|default_if_none:'n' }}"
            "{% for item in items %}{{ item }}{% endfor %}{% firstof one two '+' %}{% with w=name %}{{ w }}{% endwith %}"
            "{% blocktranslate with n=name %}{{ n }}{{ city }}{% endblocktranslate %}{% if since %}{{ since|date:'Y' }}{% endif %}"
        ),
    )
    undefined = "news.txt, line 1: {} is undefined; the context has city, email, name{}"
    assert lines == [
        "Ann-n+AnnAnnUlm",
        *["news.txt, line 1: 'name' is undefined; the context has city, email"] * 2,
        "news.txt, line 1: 'city' is undefined; the context has email, name",
        undefined.format("'code'", ", vip"),
        "Ann7Anniena1AnnAnnUlm",
        "news.txt, line 1: since|date:'Y' shows nothing, for times are text in the row of a bulk; let the row have it as it shall be read",
    ]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            {"news__txt": "{% include which %}"},
            "news.txt: it includes or extends a template whose name depends on a variable",
        ),
        ({"news__txt": "\n{% include 'no.txt' %}"}, "news.txt, line 2: it uses 'no.txt', which is not in "),
        (
            {"news__html": "<img src='cid:{{ a }}.png'>"},
            "news.html: the name of an image behind cid: depends on a variable",
        ),
        (
            {"news__html": "<img src='cid:{% if a %}a{% else %}b{% endif %}.png'>"},
            "news.html: the name of an image behind cid:",
        ),
        ({"news__txt": "{% extends 'news.txt' %}"}, "news.txt: it extends another template of the same name"),
    ],
)
def test_what_only_a_row_would_name_is_told_when_it_is_loaded(
    python: str, folder: Path, files: dict[str, str], said: str
) -> None:
    (line,) = run(python, folder, "print(wrong())", **files)
    assert line.startswith(said)


def test_a_tag_that_takes_the_context_finds_all_of_the_row(python: str, folder: Path) -> None:
    lines = run(
        python,
        folder,
        """
letter = Letter.load("news")
print(letter.columns, message(letter, hidden="x").body)
""",
        news__txt="{% load tags %}{% secret %}",
    )
    assert lines == ["None x"]


def test_a_worker_outside_of_the_project_says_so(python: str, folder: Path) -> None:
    lines = run(python, folder, "print(Letter.load('news').encode(Sealer()).hex())", news__txt="x")
    program = f"""
from mailworker import ConfigurationError
from mailworker.mail.letter import Letter
from mailworker.mail.sealing import Sealer
try:
    Letter.decode(bytes.fromhex("{lines[0]}"), Sealer()).fill
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([python, "-c", program], capture_output=True, text=True, cwd=folder, env=clean_environment())
    assert done.returncode == 0, done.stderr
    assert "run the worker with the project's DJANGO_SETTINGS_MODULE" in done.stdout


def test_what_is_told_at_sight_is_what_rendering_says(python: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [python, "-m", "tests.contrib.django.letter_program", str(tmp_path), "60"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=clean_environment(),
    )
    assert done.returncode == 0, done.stdout + done.stderr
