"""The test project's own tests, which Django's test runner runs as its users do: see `project/shop/suite`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.processes import Process, RedisServer

PROJECT = Path(__file__).parent / "project"

pytestmark = pytest.mark.integration


def test_the_projects_tests_pass(python: str) -> None:
    command = [python, "manage.py", "test", "shop.suite", "--pattern=[a-z]*.py", "--shuffle"]
    with RedisServer() as redis, Process(command, {"SHOP_BROKER": redis.url}, PROJECT) as tests:
        assert tests.wait() == 0, tests.output
        found = re.search(r"Ran (\d+) tests", tests.output)
        assert found is not None
        assert int(found[1]) >= 60, tests.output


def test_pytest_finds_djangos_outbox_filled_as_before(python: str, tmp_path: Path) -> None:
    pytest.importorskip("pytest_django")
    (tmp_path / "test_shop.py").write_text(
        "from django.core.mail import send_mail\n"
        "def test_mail(db, client, mailoutbox):\n"
        "    client.get('/order/')\n"
        "    assert [each.subject for each in mailoutbox] == ['Your order']\n"
        "def test_without_a_database(mailoutbox):\n"
        "    send_mail('s', 'b', None, ['ann@example.com'])\n"
        "    assert len(mailoutbox) == 1\n"
    )
    env = {"DJANGO_SETTINGS_MODULE": "shop.settings"}
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", f"--rootdir={tmp_path}"]
    path = f"import sys; sys.path[:0] = [{str(PROJECT)!r}, {str(PROJECT.parents[3])!r}]"
    (tmp_path / "conftest.py").write_text(path)
    with Process([*command, f"--confcutdir={tmp_path}", str(tmp_path)], env, PROJECT) as tests:
        assert tests.wait() == 0, tests.output
        assert "2 passed" in tests.output
