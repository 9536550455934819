"""`langgraph.json` is accepted as it is."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from gatewright.agents.errors import UnavailableError, UsageError
from gatewright.runtime import manifests
from gatewright.runtime.config import load


def write(folder: Path, **manifest: Any) -> Path:
    file = folder / "langgraph.json"
    file.write_text(json.dumps(manifest), "utf-8")
    return file


def test_both_forms_of_a_graph_become_deployments(tmp_path: Path) -> None:
    write(tmp_path, graphs={"plain": "./agent.py:graph", "object": {"path": "pkg.agents:make", "description": "x"}})

    deployments = load(cwd=tmp_path, environ={}).deployments

    assert deployments["plain"].graph == f"{tmp_path / 'agent.py'}:graph"
    assert deployments["object"].graph == "pkg.agents:make"


def test_gatewright_toml_in_the_same_folder_is_preferred(tmp_path: Path) -> None:
    write(tmp_path, graphs={"agent": "./agent.py:graph"})
    (tmp_path / "gatewright.toml").write_text('[deployments.desk]\nteam = "support"\n', "utf-8")

    assert list(load(cwd=tmp_path, environ={}).deployments) == ["desk"]


def test_the_env_object_is_put_into_the_environment_but_overrides_nothing(tmp_path: Path) -> None:
    environ = {"KEPT": "mine"}

    manifests.read(write(tmp_path, graphs={"a": "a.py:g"}, env={"KEPT": "theirs", "NEW": "1"}), environ=environ)

    assert environ == {"KEPT": "mine", "NEW": "1"}


def test_an_env_file_is_read_with_quotes_and_comments(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# keys\n\nA=1 # one\nexport B=\"two words\"\nC='#3'\n", "utf-8")
    environ: dict[str, str] = {}

    manifests.read(write(tmp_path, graphs={"a": "a.py:g"}, env=".env"), environ=environ)

    assert environ == {"A": "1", "B": "two words", "C": "#3"}


def test_folders_among_the_dependencies_are_imported_from(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    write(tmp_path, graphs={"a": "a.py:g"}, dependencies=[".", "./src"])

    assert load(cwd=tmp_path, environ={}).python_path == (tmp_path, tmp_path / "src")


def test_what_is_not_supported_is_said_and_not_passed_over(tmp_path: Path) -> None:
    file = write(tmp_path, graphs={"a": "a.py:g"}, store={"ttl": {}}, dependencies=["langchain-openai"])
    notices = io.StringIO()

    manifests.read(file, environ={}, notices=notices)

    assert "'store' is not supported" in notices.getvalue()
    assert "'langchain-openai'" in notices.getvalue()


@pytest.mark.parametrize("graphs", [{}, [], {"a": "agent.py"}, {"a": {"file": "agent.py:g"}}])
def test_graphs_of_another_shape_are_refused(tmp_path: Path, graphs: Any) -> None:
    with pytest.raises(UsageError, match=r"graph"):
        manifests.read(write(tmp_path, graphs=graphs), environ={})


def test_an_env_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"missing\.env"):
        manifests.read(write(tmp_path, graphs={"a": "a.py:g"}, env="missing.env"), environ={})
