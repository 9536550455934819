"""The Helm chart: linted and rendered by Helm, valid for Kubernetes, and made of commands and settings that exist."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from deploy.helm import program

from gatewright.runtime.config import load

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "gatewright"
KUBERNETES = ("1.30", "1.37")  # the oldest that Chart.yaml takes, the newest that has been tried
NEEDED = ("image.repository=registry.example.org/gatewright", "existingSecret=gatewright")
EVERYTHING = (
    *NEEDED,
    "bus=kafka://kafka:9092",
    "environmentSecret=models",
    "image.pullSecrets={registry}",
    "drain=45",
    "worker.autoscaling.enabled=true",
    "ingress.enabled=true",
    "ingress.className=nginx",
    "ingress.host=agents.example.org",
    "ingress.tlsSecret=agents-tls",
    "ingress.annotations.example\\.org/note=streams",
)

POD_OWNERS = ("Deployment", "Job")
Manifests = dict[tuple[str, str], dict[str, Any]]


def helm(verb: str, *values: str) -> subprocess.CompletedProcess[str]:
    """Helm on the chart with these values; it looks at no cluster."""
    name = ["gatewright"] if verb == "template" else ["--strict"]
    options = [f"--set={value}" for value in values]
    return subprocess.run(
        [program.place(), verb, *name, CHART, f"--kube-version={KUBERNETES[0]}.0", *options],
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture(autouse=True, scope="module")
def there(needed: Callable[[str | None], None]) -> None:
    missing = f"Helm is not at {str(program.place())!r}: `python -m deploy.helm.program` builds it"
    needed(None if program.place().exists() else missing)


@pytest.fixture(scope="module", params=[NEEDED, EVERYTHING], ids=["as it comes", "with everything"])
def rendered(request: pytest.FixtureRequest, there: None) -> str:
    done = helm("template", *request.param)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def manifests(rendered: str) -> Manifests:
    documents = [document for document in yaml.safe_load_all(rendered) if document]
    return {(document["kind"], document["metadata"]["name"]): document for document in documents}


def pods(manifests: Manifests) -> dict[str, dict[str, Any]]:
    """The pods' specifications, by the name of their only container."""
    found = [document["spec"]["template"]["spec"] for (kind, _), document in manifests.items() if kind in POD_OWNERS]
    return {spec["containers"][0]["name"]: spec for spec in found}


@pytest.mark.parametrize("values", [NEEDED, EVERYTHING], ids=["as it comes", "with everything"])
def test_helm_finds_no_fault(values: tuple[str, ...]) -> None:
    done = helm("lint", *values)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ((), "existingSecret"),
        (NEEDED[1:], "image/repository"),
        ((*NEEDED, "serve.replica=3"), "replica"),
        ((*NEEDED, "ingress.enabled=true", "ingress.host=a.example.org"), "tlsSecret"),
        ((*NEEDED, "bus=kafka:9092"), "bus"),
    ],
)
def test_values_that_cannot_work_are_refused_by_name(values: tuple[str, ...], named: str) -> None:
    done = helm("template", *values)

    assert done.returncode == 1
    assert named in done.stderr


@pytest.mark.parametrize("version", KUBERNETES)
def test_the_manifests_are_what_kubernetes_describes(rendered: str, version: str, tmp_path: Path) -> None:
    done = validate(rendered, version, tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_manifest_that_kubernetes_does_not_describe_is_found(rendered: str, tmp_path: Path) -> None:
    wrong = rendered.replace("readinessProbe:", "readyProbe:")

    assert wrong != rendered
    assert validate(wrong, KUBERNETES[0], tmp_path).returncode == 1


def validate(rendered: str, version: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The manifests against the schemas of one version of Kubernetes, which come with the program."""
    file = folder / "manifests.yaml"
    file.write_text(rendered, "utf-8")
    checker = Path(sys.executable).with_name("kubernetes-validate")
    command = [str(checker), "--strict", "--kubernetes-version", version, str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_each_pod_runs_a_command_with_settings_that_exist(
    manifests: Manifests,
    takes: Callable[[Sequence[str]], None],
    configures: Callable[[Mapping[str, str]], None],
) -> None:
    secrets = {"database": "postgresql+psycopg://gatewright:word@db.example.org/gatewright", "token": "secret"}
    for spec in pods(manifests).values():
        container = spec["containers"][0]
        takes(container["args"])
        configures(
            {
                entry["name"]: entry.get("value") or secrets[entry["valueFrom"]["secretKeyRef"]["key"]]
                for entry in container["env"]
            }
        )


def test_each_pod_runs_without_rights_it_does_not_need(manifests: Manifests) -> None:
    assert set(pods(manifests)) == {"migrate", "serve", "worker"}
    for spec in pods(manifests).values():
        container = spec["containers"][0]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_pods_have_time_to_drain_twice(manifests: Manifests) -> None:
    for name in ("serve", "worker"):
        spec = pods(manifests)[name]
        environment = {entry["name"]: entry.get("value") for entry in spec["containers"][0]["env"]}
        asleep = spec["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        drain = float(environment["GATEWRIGHT_WORKER__DRAIN"])
        assert spec["terminationGracePeriodSeconds"] > 2 * drain + 2 + asleep


def test_the_schema_is_brought_up_before_anything_else_and_needs_nothing_of_the_release(manifests: Manifests) -> None:
    job = manifests["Job", "gatewright-migrate"]

    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert {next(iter(volume.keys() - {"name"})) for volume in job["spec"]["template"]["spec"]["volumes"]} == {
        "emptyDir"
    }


def test_selectors_meet_the_pods_they_are_for(manifests: Manifests) -> None:
    labels = {
        name: document["spec"]["template"]["metadata"]["labels"]
        for (kind, name), document in manifests.items()
        if kind == "Deployment"
    }

    def chosen(selector: Mapping[str, str]) -> set[str]:
        return {name for name, found in labels.items() if selector.items() <= found.items()}

    assert chosen(manifests["Service", "gatewright"]["spec"]["selector"]) == {"gatewright-serve"}
    for name in labels:
        assert chosen(manifests["Deployment", name]["spec"]["selector"]["matchLabels"]) == {name}
        assert chosen(manifests["PodDisruptionBudget", name]["spec"]["selector"]["matchLabels"]) == {name}


def test_workers_are_given_neither_the_token_nor_the_key_of_sessions(manifests: Manifests) -> None:
    container = pods(manifests)["worker"]["containers"][0]

    assert "GATEWRIGHT_SERVER__TOKEN" not in {entry["name"] for entry in container["env"]}
    assert {mount.get("subPath") for mount in container["volumeMounts"]} == {None, "ledger.key"}


def test_mounts_have_their_volumes(manifests: Manifests) -> None:
    for spec in pods(manifests).values():
        volumes = {volume["name"] for volume in spec["volumes"]}
        assert {mount["name"] for mount in spec["containers"][0]["volumeMounts"]} == volumes


def test_the_files_are_a_configuration(manifests: Manifests, tmp_path: Path) -> None:
    for name, text in manifests["ConfigMap", "gatewright"]["data"].items():
        (tmp_path / name).write_text(text, "utf-8")

    assert list(load(environ={}, cwd=tmp_path).deployments) == ["support"]


def test_the_chart_has_the_version_of_the_program() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text("utf-8"))

    assert (chart["version"], chart["appVersion"]) == (version, version)
