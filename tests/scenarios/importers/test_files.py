from __future__ import annotations

import json
from pathlib import Path

import pytest

from gatewright.agents.errors import NotFoundError, UsageError
from gatewright.environments.airline import AIRLINE
from gatewright.environments.retail import RETAIL
from gatewright.scenarios.importers import read


def test_the_small_airlines_file_is_one_of_the_airline_with_its_data(small: Path) -> None:
    found = read(small)
    assert (found.domain, found.data, len(found.recordings)) == (AIRLINE, small.parent.resolve(), 9)


def test_a_shops_file_is_one_of_the_shop_and_knows_model_and_costs(shared: Path) -> None:
    base, candidate = (read(shared / f"tau2/retail/episodes-{name}_retail.json") for name in ("base", "sft"))
    assert (base.domain, base.data) == (RETAIL, (shared / "tau2/retail").resolve())
    assert {each.model for each in base.recordings} == {"gpt-4.1"}
    for each in base.recordings:
        assert each.cost == pytest.approx(
            sum(message.cost or 0 for message in each.messages if message.role == "assistant")
        )
    assert {each.cost for each in candidate.recordings} == {None}


def test_costs_that_a_file_does_not_tell_are_unknown(small: Path) -> None:
    assert {each.cost for each in read(small).recordings} == {None}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "is not JSON"),
        ('{"episodes": []}', "no episodes of a known format"),
        ("[1]", "no episodes of a known format"),
        ('[{"traj": [], "task_id": 1}]', r"file.json': this does not hold airline conversations: at 0\.trial"),
        ('{"simulations": [{"task_id": "1"}]}', r"at simulations\.0\.messages"),
        ('{"simulations": [], "info": {"environment_info": {"domain_name": "telecom"}}}', "the domain 'telecom'"),
        ('[{"mistake_agent": "A"}]', r"at 0\.question"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=complaint):
        read(path)


def test_a_file_that_is_absent_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"nothing\.json"):
        read(tmp_path / "nothing.json")


def test_an_empty_list_has_no_episodes(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text(json.dumps([]))
    assert read(path).recordings == []
