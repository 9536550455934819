"""`langgraph.json`, read as it is: the deployment manifest that LangGraph projects already have."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, TextIO, cast

from gatewright.agents.errors import UnavailableError, UsageError

UNDERSTOOD = frozenset({"$schema", "graphs", "env", "dependencies", "python_version"})


def read(
    file: Path, *, environ: MutableMapping[str, str] | None = None, notices: TextIO | None = None
) -> dict[str, Any]:
    """The configuration that a `langgraph.json` stands for, as the tables of a `gatewright.toml`.

    Its `env` is put into `environ`, where a variable that is set already stays. Keys that have no meaning here are
    named on `notices`, one line each. Dependencies that are folders become `python_path`; packages must be installed.

    Raises:
        UsageError: the file is not a manifest.
        UnavailableError: the file, or the env file that it names, cannot be read.
    """
    manifest = _object(file)
    environ = os.environ if environ is None else environ
    stream = notices or sys.stderr
    for key in sorted(set(manifest) - UNDERSTOOD):
        print(f"notice: {file}: {key!r} is not supported and has no effect", file=stream)
    for name, value in _env(file, manifest.get("env", {})).items():
        environ.setdefault(name, value)
    folders: list[str] = []
    for dependency in manifest.get("dependencies", []):
        if (file.parent / dependency).is_dir():
            folders.append(dependency)
        else:
            print(f"notice: {file}: install the dependency {dependency!r} yourself, with pip", file=stream)
    return {
        "deployments": {name: {"graph": _graph(file, name, entry)} for name, entry in _graphs(file, manifest).items()},
        "python_path": folders,
    }


def _object(file: Path) -> dict[str, Any]:
    try:
        manifest = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise UnavailableError(f"cannot read the manifest {str(file)!r}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{str(file)!r} is not valid JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise UsageError(f"{str(file)!r} must hold an object, not {type(manifest).__name__}")
    return cast("dict[str, Any]", manifest)


def _graphs(file: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    graphs = manifest.get("graphs")
    if not isinstance(graphs, dict) or not graphs:
        raise UsageError(f'{str(file)!r}: "graphs" must name at least one graph: {{"agent": "./agent.py:graph"}}')
    return cast("dict[str, Any]", graphs)


def _graph(file: Path, name: str, entry: Any) -> str:
    """The two forms: `"./agent.py:graph"`, and an object with `path`."""
    path = cast("dict[str, Any]", entry).get("path") if isinstance(entry, dict) else entry
    if not isinstance(path, str) or ":" not in path:
        raise UsageError(
            f'{str(file)!r}: graph {name!r} is {entry!r}; write "path/to/file.py:variable" or an object with such a '
            "`path`"
        )
    return path


def _env(file: Path, env: Any) -> dict[str, str]:
    if isinstance(env, dict):
        return {str(name): str(value) for name, value in env.items()}
    if not isinstance(env, str):
        raise UsageError(f'{str(file)!r}: "env" is {env!r}; write an object or the path of an env file')
    try:
        lines = (file.parent / env).read_text("utf-8").splitlines()
    except OSError as error:
        raise UnavailableError(
            f"cannot read the env file {str(file.parent / env)!r} of {str(file)!r}: {error.strerror}"
        ) from error
    return dict(pair for line in lines if (pair := _assignment(line)))


def _assignment(line: str) -> tuple[str, str] | None:
    """`NAME=value`, `export NAME="value"`; None for blank lines and comments."""
    name, equals, value = line.strip().removeprefix("export ").partition("=")
    if not equals or name.lstrip().startswith("#"):
        return None
    value = value.strip()
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
    return name.strip(), value[1:-1] if quoted else value.partition(" #")[0].rstrip()
