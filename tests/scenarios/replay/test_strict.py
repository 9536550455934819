"""Strict replay: everything that a team does comes out again, and every planted change is named where it is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from tests.scenarios.offices import Office

from gatewright.agents.errors import UsageError
from gatewright.environments.decisions.logs import of_episode
from gatewright.runtime.episodes import Entry, Episode, Value
from gatewright.runtime.service import Service
from gatewright.runtime.views import Verb
from gatewright.scenarios.episodes.decisions import decisions
from gatewright.scenarios.episodes.files import Recorded
from gatewright.scenarios.replay import release, strict
from gatewright.scenarios.replay.divergence import Divergence
from gatewright.scenarios.replay.strict import Replayed

AMOUNTS = (5, 7, 13, 50, 666)  # simple, a question, a failing tool, an approval, a refusal


async def replayed(office: Office, episodes: Sequence[Episode]) -> list[Replayed]:
    with release.loaded(office.config) as ours:
        return [await strict.replay(episode, ours) for episode in episodes]


async def first(office: Office, episodes: Sequence[Episode]) -> Divergence:
    """The one divergence of the first episode."""
    (found,) = await replayed(office, episodes[:1])
    assert found.divergence is not None
    return found.divergence


def entry_of(episode: Episode, kind: str, name: str) -> Entry:
    def is_it(entry: Entry) -> bool:
        effect = entry.record.effect
        return effect is not None and (effect.kind, effect.name) == (kind, name)

    return next(entry for entry in episode.entries if is_it(entry))


def changed(episode: Episode, entry: Entry, name: str, value: Any) -> Episode:
    """The episode with another value beside one of its records."""
    old = entry.values[name]
    values = {**entry.values, name: Value(old.type, orjson.dumps(value), old.salt)}
    entries = [dataclasses.replace(each, values=values) if each is entry else each for each in episode.entries]
    return dataclasses.replace(episode, entries=entries)


async def test_everything_comes_out_again_and_nothing_is_done(office: Office) -> None:
    episodes = await office.hold(AMOUNTS)
    done = office.done

    found = await replayed(office, episodes)

    assert [each.divergence for each in found] == [None] * len(AMOUNTS)
    assert [(each.effects, each.total) for each in found] == [(9, 9)] * len(AMOUNTS)
    assert all(each.decisions == each.equal_decisions == 1 and each.rules for each in found)
    assert office.done == done


async def test_it_comes_out_again_as_often_as_one_likes(office: Office) -> None:
    episodes = await office.hold([7])

    assert await replayed(office, episodes) == await replayed(office, episodes)


async def test_a_changed_prompt_is_named_at_the_model_call(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    episodes = await office.hold([5])
    monkeypatch.setenv("PLANTED", "prompt")

    found = await first(office, episodes)

    assert found.kind == "request"
    assert found.position == entry_of(episodes[0], "model", "fake-list-chat-model").position
    assert '-      "content": "Be kind"' in found.beside() or "Be kind" in found.beside()
    assert "Be brief" in found.beside()


async def test_a_changed_threshold_is_named_at_the_decision(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    episodes = await office.hold([7])
    monkeypatch.setenv("PLANTED", "threshold")

    found = await first(office, episodes)

    assert found.kind == "choice"
    assert found.position == entry_of(episodes[0], "decision", "size").position
    assert (found.recorded["option"], found.replayed["option"]) == ("small", "large")


async def test_a_changed_rule_is_named_at_what_it_judges_otherwise(office: Office) -> None:
    episodes = await office.hold([5])
    office.rules(limit=5)

    found = await first(office, episodes)

    assert found.kind == "verdict"
    assert found.position == entry_of(episodes[0], "tool", "pay").position
    assert (found.recorded["verdict"], found.replayed["verdict"]) == ("allow", "ask")


async def test_a_rule_that_says_the_same_of_all_is_no_divergence_and_is_told(office: Office) -> None:
    episodes = await office.hold([5])
    office.rules(limit=30)

    (found,) = await replayed(office, episodes)

    assert found.equal
    assert not found.rules


async def test_a_changed_result_is_named_at_the_effect_that_gave_it(office: Office) -> None:
    (episode,) = await office.hold([5])
    entry = entry_of(episode, "tool", "pay")

    found = await first(office, [changed(episode, entry, "result", "paid 6")])

    assert (found.kind, found.position) == ("seal", entry.position)
    assert "does not match its commitment" in found.what


async def test_a_changed_output_is_named_at_the_end_of_its_run(office: Office) -> None:
    episodes = await office.hold([5])
    ended = episodes[0].ends[episodes[0].runs[0].id]
    then = ended.values["output"].decoded()

    found = await first(office, [changed(episodes[0], ended, "output", {**then, "planted": {"id": "1"}})])

    assert (found.kind, found.position) == ("output", ended.position)
    assert found.recorded["planted"] == {"id": "1"}


def test_only_the_ids_of_messages_may_come_out_otherwise() -> None:
    plain = {"messages": [{"type": "ai", "content": "Done.", "id": "1"}, {"type": "card", "id": "1"}]}

    def like(value: Any) -> bool:
        return strict.alike(plain, value)

    assert like({"messages": [{"type": "ai", "content": "Done."}, {"type": "card", "id": "1"}]})
    assert not like({"messages": [{"type": "ai", "content": "Done", "id": "1"}, {"type": "card", "id": "1"}]})
    assert not like({"messages": [{"type": "ai", "content": "Done.", "id": "1"}, {"type": "card", "id": "2"}]})
    assert not like({"messages": plain["messages"][:1]})


async def test_an_effect_that_is_new_is_shown_beside_the_most_similar_one(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    episodes = await office.hold([5])
    monkeypatch.setenv("PLANTED", "more")

    found = await first(office, episodes)

    assert found.kind == "request"
    assert found.replayed["args"] == {"amount": 99}
    assert "after all that the record has" in found.what


async def test_effects_that_are_not_asked_for_are_missing(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", "more")
    episodes = await office.hold([5])
    monkeypatch.delenv("PLANTED")

    found = await first(office, episodes)

    assert found.kind == "missing"
    assert found.recorded["args"] == {"amount": 99}


async def test_an_erased_result_ends_the_replay_there(office: Office) -> None:
    (episode,) = await office.hold([5])
    entry = entry_of(episode, "tool", "pay")
    values = {name: value for name, value in entry.values.items() if name != "result"}
    entries = [dataclasses.replace(each, values=values) if each is entry else each for each in episode.entries]

    found = await first(office, [dataclasses.replace(episode, entries=entries)])

    assert (found.kind, found.position) == ("seal", entry.position)
    assert "erased" in found.what


async def test_an_episode_of_another_deployment_is_refused(office: Office) -> None:
    (episode,) = await office.hold([5])
    thread = episode.root._replace(deployment="bank")
    runs = [run._replace(deployment="bank") for run in episode.runs]

    with pytest.raises(UsageError, match="'bank', which is not configured here; there are .'office'."):
        await replayed(office, [dataclasses.replace(episode, threads=[thread], runs=runs)])


async def test_an_imported_episode_has_no_team_to_run(office: Office) -> None:
    (episode,) = await office.hold([5])
    thread = episode.root._replace(deployment="imported")
    runs = [run._replace(deployment="imported") for run in episode.runs]

    with pytest.raises(UsageError, match="imported from another program and holds no team"):
        await replayed(office, [dataclasses.replace(episode, threads=[thread], runs=runs)])


async def test_options_that_rules_closed_are_closed_again(office: Office) -> None:
    office.rules(closed="small")
    episodes = await office.hold([7, 5])

    assert [each.divergence for each in await replayed(office, episodes)] == [None, None]

    office.rules()
    found = await first(office, episodes)
    assert (found.kind, found.what) == ("verdict", "rules say 'allow' of decision.before 'size', and had said 'modify'")


async def test_a_rule_that_closes_another_option_is_named_at_the_decision(office: Office) -> None:
    office.rules(closed="small")
    episodes = await office.hold([7])
    office.rules(closed="large")

    found = await first(office, episodes)

    assert (found.kind, found.what) == ("verdict", "rules close other options of decision 'size'")
    assert (found.recorded, found.replayed) == ({"small": "closing"}, {"large": "closing"})


async def test_a_rule_that_was_waived_closes_nothing_again(office: Office) -> None:
    office.rules(closed="small")
    episodes = await office.hold([7], waived="closing")

    assert [each.divergence for each in await replayed(office, episodes)] == [None]


async def test_an_option_that_is_open_now_is_named_where_none_was(office: Office) -> None:
    office.rules(closed="small, large")
    episodes = await office.hold([7])
    assert [each.divergence for each in await replayed(office, episodes)] == [None]
    office.rules(closed="small")

    found = await first(office, episodes)

    assert (found.kind, found.what) == ("verdict", "rules close other options of decision 'size'")
    assert (found.recorded, found.replayed) == ({"small": "closing", "large": "closing"}, {"small": "closing"})


BUDGET = "budgets: [{id: few, of: calls, limit: 1, per: deployment, within: 1d, on: {kinds: [decision]}, then: ask}]"


@pytest.mark.parametrize(
    ("verb", "value"),
    [
        ("edit", {"features": {"amount": 50}, "options": ["small", "large"], "closed": {}}),
        ("answer", {"option": "large", "policy": "kim"}),
    ],
)
async def test_what_people_made_of_a_decision_comes_out_again(office: Office, verb: Verb, value: Any) -> None:
    rules = office.folder / "rules.yaml"
    rules.write_text(rules.read_text("utf-8").replace("rules:", f"{BUDGET}\nrules:"), "utf-8")
    await office.hold([5])
    async with await Service.open(office.config) as service:
        run = await service.wait((await service.start_run("office", {"amount": 1})).id, timeout=60)
        (asked,) = await service.approvals(run_id=run.id)
        await service.decide(asked.id, verb, by="kim", reason="kim says so", value=value)
        await service.wait(run.id, timeout=60)

    _, decided = office.episodes()
    assert entry_of(decided, "decision", "size").values["result"].decoded()["option"] == "large"
    assert [each.divergence for each in await replayed(office, [decided])] == [None]
    by_policy = 1 if verb == "edit" else 0
    assert len(list(of_episode(decided, "size"))) == by_policy
    assert len(list(decisions(Recorded(episode=decided), "size"))) == by_policy
