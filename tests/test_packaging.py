"""The wheel and the sdist: what is in them, and that the core needs no extra."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import mailworker

ROOT = Path(__file__).parents[1]

#: What comes with an extra only; a web process and a worker run without all of it.
EXTRAS = (
    *(
        "aiosmtpd",
        "cryptography",
        "css_inline",
        "django",
        "fakeredis",
        "flask",
        "html2text",
        "itsdangerous",
        "jinja2",
        "lupa",
        "pytest",
    ),
    "rich",
)

#: Parts that are about an extra, and may import it at the top.
NEED_AN_EXTRA = (
    "mailworker.cli.bulk.picture",
    "mailworker.contrib",
    "mailworker.demo",
    "mailworker.mail.letter.jinja",
    "mailworker.mail.letter.jinja_reading",
    "mailworker.mail.template.jinja",
    "mailworker.testing",
    "mailworker.__main__",
    "mailworker.sink.__main__",
)


@pytest.fixture(scope="module")
def pyproject():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Build both, the wheel out of the sdist, as a release is built."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def package_files() -> set[str]:
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "mailworker").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_the_wheel_holds_the_whole_package_and_nothing_else(built):
    with zipfile.ZipFile(built[0]) as wheel:
        names = set(wheel.namelist())
    assert {name for name in names if not name.startswith("mailworker-")} == package_files()
    assert "mailworker/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_sdist_holds_what_its_own_tests_need_and_nothing_that_git_ignores(built):
    with tarfile.open(built[1]) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert names >= {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "Procfile", ".ci/run", ".dockerignore"}
    assert names >= {"deploy/compose.yaml", "tests/test_packaging.py"} | package_files()
    assert [name for name in names if re.search(r"__pycache__|\.pyc$|(^|/)\.venv|\.env$", name)] == []


def test_the_metadata_tells_name_python_licence_and_the_entry_point(built, pyproject):
    with zipfile.ZipFile(built[0]) as wheel:
        (info,) = {name.partition("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
        metadata = message_from_bytes(wheel.read(f"{info}/METADATA"))
        entry_points = wheel.read(f"{info}/entry_points.txt").decode()
    assert (metadata["Name"], metadata["Version"]) == ("mailworker", pyproject["project"]["version"])
    assert (metadata["Requires-Python"], metadata["License-Expression"]) == (">=3.11", "BSD-3-Clause")
    assert "mailworker = mailworker.cli:main" in entry_points
    assert {"demo", "crypto", "templates", "css", "test"} <= set(metadata.get_all("Provides-Extra", []))


def test_the_changelog_has_an_entry_for_the_version(pyproject):
    version = re.escape(pyproject["project"]["version"])
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"(?m)^## \[{version}\] - (unreleased|\d{{4}}-\d\d-\d\d)$", text)


def test_every_name_of_the_public_api_is_listed_once_and_is_there():
    assert len(mailworker.__all__) == len(set(mailworker.__all__))
    for name in mailworker.__all__:
        assert hasattr(mailworker, name), name


def test_every_module_with_anything_in_it_opens_with_what_it_is_about():
    for name in sorted(package_files()):
        if name.endswith(".py"):
            tree = ast.parse((ROOT / name).read_text(encoding="utf-8"))
            assert not tree.body or ast.get_docstring(tree), name


def test_every_module_of_the_core_is_importable_with_no_extra_installed():
    program = f"""
import importlib, importlib.abc, pkgutil, sys

class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
import mailworker
for module in pkgutil.walk_packages(mailworker.__path__, "mailworker."):
    if not module.name.startswith({NEED_AN_EXTRA!r}):
        importlib.import_module(module.name)
print("imported", len(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("imported")


def test_composing_a_mail_imports_no_celery_no_redis_and_no_wire():
    program = """
import sys
from mailworker import EmailMessage, get_connection
connection = get_connection("mailworker.mail.backends.locmem.EmailBackend")
assert EmailMessage("s", "b", "a@example.com", ["b@example.com"], connection=connection).send() == 1
found = {name.partition(".")[0] for name in sys.modules} & {"celery", "kombu", "redis", "django"}
print(sorted(found | {n for n in sys.modules if n.startswith(("mailworker.delivery", "mailworker.smtp.session"))}))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_the_layers_hold():
    done = subprocess.run([Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_contract_of_the_layers_bites_when_an_import_runs_upward(tmp_path):
    package = tmp_path / "mailworker"
    for name in package_files():
        if name.endswith(".py"):
            target = tmp_path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / name).read_bytes())
    outcome = package / "outcome.py"
    outcome.write_text(outcome.read_text(encoding="utf-8") + "\nimport mailworker.delivery.policy\n", encoding="utf-8")
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    lint = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([lint, "--no-cache"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert "mailworker.outcome" in done.stdout
