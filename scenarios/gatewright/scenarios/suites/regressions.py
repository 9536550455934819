"""Regression scenarios: a suite made of one run that went wrong, which fails until that is mended."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from gatewright.agents.errors import ConflictError, UsageError
from gatewright.runtime.cli.episodes import effects, replies
from gatewright.runtime.episodes import Episode
from gatewright.runtime.operations import Operations
from gatewright.runtime.views import FINAL, ApprovalView, RecordView, RunView
from gatewright.safety import canonical
from gatewright.safety.rules import sources
from gatewright.safety.rules.expressions import MAX_LENGTH
from gatewright.scenarios.episodes import files

from . import checks
from .documents import read
from .observations import REFUSED, Observation

PAGE = 1000
LATER = frozenset({"reward"})
"""Variables that are not known of a run that has no task to be judged by."""


class Looked(NamedTuple):
    """A run, and what came of its case."""

    run: RunView
    observed: Observation


async def look(client: Operations, run_id: str) -> Looked:
    """What came of the case of a run.

    Raises:
        NotFoundError: there is no such run.
        ConflictError: something of its case has not ended.
    """
    run = await client.run(run_id)
    runs = (await client.runs(case_id=run.case_id, limit=PAGE))[::-1]
    for other in runs:
        if other.status not in FINAL:
            raise ConflictError(
                f"run {other.id!r} of the case is {other.status}; a scenario is made of what has ended: "
                f"let a service finish it, or `gatewright run cancel {other.id}`"
            )
    state = await client.thread_state(run.case_id)
    observed = Observation(
        records=[record async for record in effects(client, run.case_id)],
        runs=runs,
        approvals=await client.approvals(state=None, case_id=run.case_id, limit=PAGE),
        state=state.get("values") or {},
        replies=replies(state),
    )
    return Looked(run, observed)


def suite(looked: Looked, episode: Episode, *, expect: str | None, recording: str) -> dict[str, Any]:
    """The suite as it is written: what the case was given, what people answered, and a check that does not hold of it.

    Args:
        expect: what should have come of it, in CEL; without, that it succeeds and asks for nothing that was refused.
        recording: the file with the episode.

    Raises:
        UsageError: what the case was given was erased, or nothing went wrong that could be seen from here.
    """
    run, observed = looked
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", run.id).lstrip("-._") or "run"
    case: dict[str, Any] = {"id": name, "inputs": _inputs(looked), "approvals": "recorded", "severity": "block"}
    if episode.root.settings:
        case["settings"] = dict(episode.root.settings)
    if answers := [*_decided(observed), *_answered(episode)]:
        case["answers"] = answers
    case["checks"] = _checks(looked, expect)
    case["episode"] = recording
    return {
        "suite": f"regression-{name}",
        "version": "1",
        "description": _description(run, case["checks"]),
        "deployment": episode.root.deployment,
        "cases": [case],
    }


def write(path: Path, document: Mapping[str, Any], episode: Episode) -> None:
    """Write the suite, and the episode in the file that it names, beside it.

    Raises:
        UsageError: the file cannot be written, or would not say the same when it is read.
    """
    text = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    said = sources.parse(text, str(path)).data
    if canonical.digest(canonical.json_value(said)) != canonical.digest(canonical.json_value(dict(document))):
        raise UsageError(f"the case cannot be written as YAML to {str(path)!r}; record it with `scenario record`")
    with files.writing(path.parent / document["cases"][0]["episode"]) as writer:
        writer.write(files.Recorded(episode=episode, versions=files.versions()))
    path.write_text(text, "utf-8")
    read(path)


def _inputs(looked: Looked) -> list[Any]:
    run, observed = looked
    found: list[Any] = []
    for other in observed.runs:
        if other.thread_id == run.case_id:
            if other.input is None:
                raise UsageError(f"what run {other.id!r} was given was erased; nothing can be made of it")
            found.append(other.input)
            if other.id == run.id:
                break
    return found


def _checks(looked: Looked, expect: str | None) -> dict[str, str]:
    run, observed = looked
    if expect is not None:
        expression = checks.compiled(expect)
        named = {"expected": expect}
        if not LATER & expression.mentions and not checks.failed({**checks.DEFAULT, **named}, observed):
            raise UsageError(
                f"{expect!r} holds of run {run.id!r} as it was; expect what should have come of it instead"
            )
        return named
    found = dict(checks.DEFAULT)
    for record in _refused(observed):
        found[f"not-refused-{len(found)}"] = _not_again(record)
    if not checks.failed(found, observed):
        raise UsageError(
            f"run {run.id!r} {run.status} and nothing was refused in its case; say with --expect what should have come "
            "of it, for example --expect 'reward == 1.0'"
        )
    return found


def _refused(observed: Observation) -> list[RecordView]:
    seen: dict[str, RecordView] = {}
    for record in observed.records:
        if record.record.get("outcome") in REFUSED:
            seen.setdefault(_not_again(record), record)
    return list(seen.values())


def _not_again(record: RecordView) -> str:
    """That the effect is not asked for again; any of its name, where the arguments are long or were erased."""
    effect = record.record["effect"]
    same = f"e.kind == {json.dumps(effect['kind'])} && e.name == {json.dumps(effect['name'])}"
    args = record.opened.get("wished", record.opened.get("args"))
    exact = f"!effects.exists(e, {same} && e.args == {json.dumps(args)})"
    return exact if args is not None and len(exact) < MAX_LENGTH else f"!effects.exists(e, {same})"


def _decided(observed: Observation) -> list[dict[str, Any]]:
    """What people said to actions, in the order in which they were asked."""
    found: list[dict[str, Any]] = []
    for approval in observed.approvals:
        if approval.kind == "approval" and approval.decision is not None:
            said: dict[str, Any] = {
                "name": approval.action["name"],
                "args": approval.action["args"],
                "verdict": approval.decision,
            }
            if approval.decision_reason:
                said["reason"] = approval.decision_reason
            if approval.decision in ("edit", "answer"):
                said["value"] = _value(observed.records, approval)
            found.append(said)
    return found


def _value(records: Sequence[RecordView], approval: ApprovalView) -> Any:
    """What somebody put in the place of the arguments, or of the result."""
    for record in records:
        opened = record.opened
        if opened.get("wished", opened.get("args")) == approval.action["args"]:
            return opened.get("args" if approval.decision == "edit" else "result")
    raise UsageError(f"what was answered to approval {approval.id!r} is not on record any more")


def _answered(episode: Episode) -> list[dict[str, Any]]:
    """What people said to questions, in their order."""
    return [{"verdict": "answer", "value": request.answer} for request in episode.requests if request.answered]


def _description(run: RunView, wanted: Mapping[str, str]) -> str:
    why = f": {run.error.type}: {run.error.message}" if run.error else ""
    hold = "hold" if len(wanted) > 1 else "holds"
    return f"Made of run {run.id}, which {run.status}{why}; passes when {' and '.join(wanted)} {hold}."


class _Dumper(yaml.SafeDumper):
    """Quotes what our own reading (YAML 1.2) would take for a number, and PyYAML's (1.1) would not."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$"),
    list("-+.0123456789"),
)
