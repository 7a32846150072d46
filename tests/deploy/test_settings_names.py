"""The settings that the files under `deploy/` name, and the values that they give them."""

from __future__ import annotations

import os
import re

import pytest

from mailworker.settings import Settings
from tests.deploy.parts import DEPLOY, ROOT, load_yaml

NAME = re.compile(r"\b(?:MAILWORKER|EMAIL)_[A-Z0-9_]*[A-Z0-9]\b|\bDEFAULT_[A-Z_]+\b|\bSERVER_EMAIL\b")
FILES = [ROOT / "Procfile", *sorted(path for path in DEPLOY.rglob("*") if path.is_file() and path.suffix != ".pyc")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_setting_that_the_file_names_is_one_of_ours(path):
    assert set(NAME.findall(path.read_text(encoding="utf-8"))) <= set(Settings.model_fields)


def test_the_files_do_name_settings():
    assert {"EMAIL_HOST", "MAILWORKER_BROKER_URL"} <= {
        name for path in FILES for name in NAME.findall(path.read_text(encoding="utf-8"))
    }


def compose_environments() -> dict[str, dict[str, str]]:
    (document,) = load_yaml(DEPLOY / "compose.yaml")
    services = document["services"].items()
    return {name: service["environment"] for name, service in services if "environment" in service}


def kubernetes_environments() -> dict[str, dict[str, str]]:
    documents = load_yaml(DEPLOY / "kubernetes" / "worker.yaml")
    containers = next(each for each in documents if each["kind"] == "Deployment")["spec"]["template"]["spec"][
        "containers"
    ]
    return {each["name"]: {entry["name"]: entry["value"] for entry in each["env"]} for each in containers}


@pytest.mark.parametrize(
    "environment",
    [
        *(pytest.param(found, id=f"compose-{name}") for name, found in compose_environments().items()),
        *(pytest.param(found, id=f"kubernetes-{name}") for name, found in kubernetes_environments().items()),
    ],
)
def test_the_settings_of_each_service_are_accepted(environment, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # no .env
    for name in [name for name in os.environ if NAME.fullmatch(name)]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        assert isinstance(value, str), f"{name}: only text can be in an environment"
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert {name for name in environment if settings.is_set(name)} == set(environment)
