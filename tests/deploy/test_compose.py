"""The compose file: valid, guarded, and made of commands and settings that exist."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from gatewright.runtime.config import Worker

FOLDER = Path(__file__).parents[2] / "deploy"
FILE = FOLDER / "compose.yaml"
OURS = ("migrate", "serve", "worker")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text("utf-8"))
    return found


def check(file: Path) -> subprocess.CompletedProcess[str]:
    """The file against the schema of the Compose specification, which comes with the program."""
    program = Path(sys.executable).with_name("check-jsonschema")
    return subprocess.run(
        [program, "--builtin-schema", "vendor.compose-spec", file], capture_output=True, text=True, timeout=60
    )


def test_it_is_what_the_compose_specification_describes() -> None:
    done = check(FILE)

    assert done.returncode == 0, done.stdout


def test_a_service_that_the_specification_does_not_describe_is_found(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(FILE.read_text("utf-8").replace("stop_grace_period", "stop_period"), "utf-8")

    assert check(wrong).returncode == 1


@pytest.mark.parametrize("service", OURS)
def test_each_role_is_a_command_with_settings_that_exist(
    compose: dict[str, Any],
    service: str,
    takes: Callable[[Sequence[str]], None],
    configures: Callable[[Mapping[str, str]], None],
) -> None:
    role = compose["services"][service]

    takes(role.get("command", ["serve", "--host", "0.0.0.0"]))
    configures(role["environment"])


@pytest.mark.parametrize("service", OURS)
def test_each_role_runs_without_rights_it_does_not_need(compose: dict[str, Any], service: str) -> None:
    role = compose["services"][service]

    assert role["read_only"] is True
    assert role["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in role["security_opt"]


def test_a_stop_outlasts_two_drains(compose: dict[str, Any]) -> None:
    for service in OURS:
        assert int(compose["services"][service]["stop_grace_period"].removesuffix("s")) > 2 * Worker().drain + 2


def test_only_serve_is_published_and_only_to_this_machine(compose: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}

    assert published == {"serve": ["127.0.0.1:8420:8420"]}


def test_nothing_starts_without_a_token_and_a_password() -> None:
    text = FILE.read_text("utf-8")

    assert "${GATEWRIGHT_TOKEN:?" in text
    assert text.count("${POSTGRES_PASSWORD:?") == text.count("${POSTGRES_PASSWORD") == 2


def test_workers_are_given_neither_the_token_nor_the_key_of_sessions(compose: dict[str, Any]) -> None:
    worker = compose["services"]["worker"]

    assert "GATEWRIGHT_SERVER__TOKEN" not in worker["environment"]
    assert [secret["source"] for secret in worker["secrets"]] == ["ledger_key"]


def test_the_schema_is_there_before_what_works_on_it(compose: dict[str, Any]) -> None:
    for service in ("serve", "worker"):
        after = compose["services"][service]["depends_on"]
        assert after["migrate"] == {"condition": "service_completed_successfully"}
        assert after["postgresql"] == after["kafka"] == {"condition": "service_healthy"}


def test_what_is_named_is_defined(compose: dict[str, Any]) -> None:
    used = {secret["source"] for service in compose["services"].values() for secret in service.get("secrets", ())}
    mounts = [mount for service in compose["services"].values() for mount in service.get("volumes", ())]
    named = {mount.partition(":")[0] for mount in mounts if isinstance(mount, str)}

    assert used == set(compose["secrets"])
    assert named == set(compose["volumes"])


def test_every_variable_of_the_file_is_explained() -> None:
    told = (FOLDER / "compose.env.example").read_text("utf-8")
    asked = {line.split("}")[0].split(":")[0] for line in FILE.read_text("utf-8").split("${")[1:]}

    assert asked
    assert {name for name in asked if f"{name}=" not in told} == set()
