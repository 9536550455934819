from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.scenarios.suites.offices import Office, held

from gatewright.agents.errors import UsageError
from gatewright.runtime import episodes
from gatewright.runtime.policy import backtest
from gatewright.runtime.service import Service
from gatewright.runtime.store import database
from gatewright.safety.approvals.ballots import Voter
from gatewright.safety.rules import sources
from gatewright.scenarios import suites
from gatewright.scenarios.episodes import files
from gatewright.scenarios.gate import Trial
from gatewright.scenarios.suites import regressions


async def made(desk: Office, given: Any, *, expect: str | None = None, says: Any = None) -> Path:
    """A suite made of a run of the clerk that is given this; `says` is what everybody answers."""
    async with await Service.open(desk.config) as service:
        run = await service.start_run("clerk", given)
        while (run := await service.wait(run.id)).status == "waiting":
            for approval in await service.approvals(run_id=run.id):
                voter = Voter(name=f"kim-{approval.given}", roles=frozenset(approval.roles), authenticated=True)
                await service.decide(approval.id, voter=voter, reason="so be it", **says)
        looked = await regressions.look(service, run.id)
    path = desk.folder / "bad.yaml"
    with backtest.ledger(database.of("", desk.config.data_dir)) as engine, engine.connect() as connection:
        episode = episodes.read(connection, looked.run.case_id)
    document = regressions.suite(looked, episode, expect=expect, recording="bad.episode.jsonl.gz")
    regressions.write(path, document, episode)
    return path


async def tried(desk: Office, path: Path) -> Trial:
    prepared = suites.prepare(suites.read(path), desk.config, name="bad")
    (row,) = await held(desk.config, prepared, prepared.tasks)
    return row


async def test_a_run_whose_effect_was_refused_fails_until_it_is_not_asked_for_again(desk: Office) -> None:
    path = await made(desk, {"amount": 666})
    row = await tried(desk, path)
    assert (row.success, row.severity) == (False, "block")
    assert "not-refused-1: not so: !effects.exists(e, e.kind ==" in row.note
    path.write_text(path.read_text().replace("amount: 666\n", "amount: 6\n"))
    assert (await tried(desk, path)).success is True


async def test_a_run_that_failed_fails_again(desk: Office) -> None:
    path = await made(desk, {"do": "fail"})
    row = await tried(desk, path)
    assert row.success is False and row.note.startswith("succeeded: not so")
    assert "ValueError: I cannot do this" in suites.read(path).suite.description
    (recorded,) = files.read(path.with_name("bad.episode.jsonl.gz"))
    assert recorded.episode.runs[0].status == "failed"


async def test_people_answer_what_they_answered(desk: Office) -> None:
    expect = 'effects.exists(e, e.name == "refund" && e.result.refunded > 1000)'
    path = await made(desk, {"amount": 150}, expect=expect, says={"verb": "approve"})
    (cases,) = suites.read(path).suite.cases
    assert [(answer.verdict, answer.args) for answer in cases.answers[:1]] == [("approve", {"amount": 150.0})]
    row = await tried(desk, path)
    assert (row.human_load, row.violations) == (1, 0)
    assert row.note == f"expected: not so: {expect}"


async def test_questions_are_answered_as_they_were(desk: Office) -> None:
    path = await made(
        desk, {"do": "ask"}, expect='output.answer == "no"', says={"verb": "answer", "value": "certainly"}
    )
    row = await tried(desk, path)
    assert row.note == 'expected: not so: output.answer == "no"'


async def test_a_run_with_which_nothing_is_wrong_makes_no_scenario(desk: Office) -> None:
    with pytest.raises(UsageError, match="succeeded and nothing was refused in its case; say with --expect"):
        await made(desk, {"amount": 1})


async def test_what_held_of_the_run_is_not_what_should_have_come_of_it(desk: Office) -> None:
    with pytest.raises(UsageError, match=r"holds of run 'run-.*' as it was; expect what should have come of it"):
        await made(desk, {"amount": 1}, expect="output.amount == 1.0")


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_what_is_written_is_read_again_as_it_was(value: Any) -> None:
    text = yaml.dump({"value": value}, Dumper=regressions._Dumper, sort_keys=False, allow_unicode=True)  # pyright: ignore[reportPrivateUsage]
    assert sources.parse(text, "it.yaml").data == {"value": value}


@pytest.mark.parametrize(
    "text", ["1e5", "0o7", "on", "1_000", "null", "~", "2026-01-01", "1:30", "", " x", "!tag", "a: b"]
)
def test_a_text_that_looks_like_something_else_stays_a_text(text: str) -> None:
    written = yaml.dump({"value": text}, Dumper=regressions._Dumper)  # pyright: ignore[reportPrivateUsage]
    assert sources.parse(written, "it.yaml").data == {"value": text}
