from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from gatewright.runtime.views import RecordView
from gatewright.scenarios.suites import checks, fields
from gatewright.scenarios.suites.observations import Observation, parsed


def effect(kind: str, name: str = "it", **record: Any) -> RecordView:
    return RecordView(
        index=0,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        kind="effect",
        run_id="run",
        case_id="case",
        leaf_hash="",
        record={"effect": {"kind": kind, "name": name}, "outcome": "ok", **record},
        opened={"args": {}, "result": record.get("result")},
    )


def observed(*records: RecordView, **more: Any) -> Observation:
    return Observation(records=records, runs=(), **more)


@pytest.mark.parametrize(
    ("costs", "total"), [((), 0.0), ((1_000_000, 500_000), 1.5), ((1_000_000, None), None), ((0,), 0.0)]
)
def test_a_cost_is_known_only_if_that_of_every_model_call_is(
    costs: tuple[int | None, ...], total: float | None
) -> None:
    models = [effect("model", usage={"cost_microusd": cost}) for cost in costs]
    assert observed(effect("tool"), *models).cost() == total


def test_a_model_call_without_usage_makes_the_cost_unknown() -> None:
    assert observed(effect("model", usage=None)).cost() is None


def test_made_up_ids_of_messages_are_not_part_of_what_it_came_to() -> None:
    def state(number: int, text: str = "hello") -> dict[str, Any]:
        return {"messages": [{"type": "ai", "content": text, "id": f"run-{number}"}], "id": 7}

    assert observed(state=state(1)).digest() == observed(state=state(2)).digest()
    assert observed(state=state(1)).digest() != observed(state=state(1, "bye")).digest()
    assert observed(state=state(1), world="a").digest() != observed(state=state(1), world="b").digest()


@pytest.mark.parametrize(
    ("result", "value"), [('{"a": 1}', {"a": 1}), ("[1]", [1]), ("{no", "{no"), ("plain", "plain"), (None, None)]
)
def test_a_result_is_read_as_rules_read_it(result: Any, value: Any) -> None:
    assert parsed(result) == value


def test_a_check_without_a_value_does_not_hold_and_says_why() -> None:
    found = checks.failed(
        {"worth": "reward >= 1.0", "missing": "state.there == 1", "fine": "reward == null"}, observed()
    )
    assert set(found) == {"worth", "missing"}
    assert found["missing"].startswith("missing: ") and "there" in found["missing"]


def test_the_fields_are_those_that_checks_are_given() -> None:
    made = effect("decision", "triage", result={"option": "a"})
    values = observed(made).values()
    assert tuple(values["effects"][0]) == fields.FIELDS["effects"]
    assert tuple(values["decisions"][0]) == fields.FIELDS["decisions"]
