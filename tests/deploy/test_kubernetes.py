"""The Kubernetes manifests: valid, and fit for a mail worker."""

from __future__ import annotations

from typing import Any

import pytest

from mailworker.cli import main
from mailworker.testing.part import START
from tests.deploy.parts import DEPLOY, LEAST_GRACE, load_yaml

MANIFEST = DEPLOY / "kubernetes" / "worker.yaml"

#: The oldest that we say it works with, and about the newest that the schemas know.
VERSIONS = ["1.29", "1.33"]


@pytest.fixture(scope="module")
def documents() -> dict[str, Any]:
    return {document["kind"]: document for document in load_yaml(MANIFEST)}


@pytest.fixture(scope="module")
def pod(documents) -> dict[str, Any]:
    spec = documents["Deployment"]["spec"]["template"]["spec"]
    assert isinstance(spec, dict)
    return spec


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(documents, version):
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="the extra `dev` has it")
    for document in documents.values():
        kubernetes_validate.validate(document, version, strict=True)
    documents["Deployment"]["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(documents["Deployment"], version, strict=True)
    del documents["Deployment"]["spec"]["replica"]


def test_the_labels_that_select_are_the_labels_of_the_pods(documents):
    deployment = documents["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    assert documents["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels


def test_the_pod_runs_our_worker_and_is_alive_while_our_health_command_says_so(pod):
    (container,) = pod["containers"]
    command, *options = container["args"]  # the image's entry point is `mailworker`
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["exec"]["command"] == ["mailworker", "health"]
    assert {command, "health"} <= set(main.commands)
    main.commands[command].make_context(command, list(options)).close()


def test_a_worker_that_is_still_starting_gets_longer_than_the_demo_waits_for_one(pod):
    (container,) = pod["containers"]
    startup = container["startupProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] >= 2 * START


def test_no_worker_is_process_1_which_would_not_hear_a_sigterm_while_it_starts(pod):
    assert pod["shareProcessNamespace"] is True


def test_a_pod_that_is_told_to_end_may_finish_its_mail(pod):
    assert pod["terminationGracePeriodSeconds"] >= LEAST_GRACE


def test_every_mounted_volume_is_there(pod):
    (container,) = pod["containers"]
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
