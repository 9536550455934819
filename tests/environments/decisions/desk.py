"""A tiny team in a tiny world: a desk that sorts letters, one after the other, until the pile is gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypedDict

import numpy as np
from langgraph.graph import END, START, StateGraph
from pydantic import BaseModel, Field

from gatewright.agents import Agent, Choice, DecisionPoint, Resources, Team, ask, decide, effect, send
from gatewright.environments.decisions.plays import Agents, Case


class Letter(BaseModel):
    weight: float = Field(ge=0, le=1)
    kind: Literal["bill", "note"]


class Parcel(BaseModel):
    weight: float = Field(ge=0, le=1)


def keeps(features: BaseModel, open_options: Sequence[str]) -> Choice:
    return Choice(option=open_options[0], policy="keeps@1")


SORT = DecisionPoint(name="sort", features=Letter, options=("keep", "burn", "frame"), policy=keeps)
WEIGH = DecisionPoint(name="weigh", features=Parcel, options=("light", "heavy"), policy=keeps)


class Pile(TypedDict):
    letters: list[dict[str, Any]]
    sorted: int


@effect
def put_away(option: str, kind: str) -> float:
    """The world: bills are to be kept and notes to be burnt."""
    return 1.0 if (option, kind) in (("keep", "bill"), ("burn", "note")) else -0.5


class Desk:
    """A play. `caught`: the errors that the team caught · `weighed`: what the other agent chose · `fails`: on letters
    that weigh more than this, the team breaks."""

    def __init__(self, *, side_by_side: bool = False, fails: float = 1.0) -> None:
        self.caught: list[Exception] = []
        self.weighed: list[str] = []
        self.fails = fails
        self.team = Team(
            name="desk",
            agents=(
                Agent(name="sorter", build=lambda resources: self._sorter(side_by_side)),
                Agent(name="weigher", build=lambda resources: self._weigher()),
            ),
            entry="sorter",
            points=(SORT, WEIGH),
        )
        self._agents = Agents(self.team, Resources())
        self._case = Case(seed=0, number=0)

    def __call__(self, case: Case) -> None:
        self._case = case
        case.earn("salary", 0.25)
        try:
            self._agents.run(case, {"letters": letters(case), "sorted": 0}, case_id=case.id)
        finally:
            self._agents.forget()

    def _sorter(self, side_by_side: bool) -> Any:
        builder = StateGraph(Pile)
        builder.add_node("sort", self._sort)
        builder.add_edge(START, "sort")
        builder.add_conditional_edges("sort", _onward)
        if side_by_side:
            builder.add_node("ask", _ask)
            builder.add_edge(START, "ask")
        return builder

    def _sort(self, state: Pile) -> dict[str, Any]:
        if not state["letters"]:
            return {}
        letter = Letter.model_validate(state["letters"][state["sorted"]])
        if letter.weight > self.fails:
            raise ValueError(f"a letter of {letter.weight} is too heavy")
        closed = {"frame": "bills are not framed"} if letter.kind == "bill" else {}
        try:
            choice = decide(SORT, letter, closed=closed)
        except Exception as error:
            self.caught.append(error)
            raise
        self._case.earn("sorting", put_away(choice.option, letter.kind))
        return {"sorted": state["sorted"] + 1}

    def _weigher(self) -> Any:
        def weigh(state: Pile) -> None:
            self.weighed.append(decide(WEIGH, Parcel(weight=state["letters"][0]["weight"])).option)

        builder = StateGraph(Pile)
        builder.add_node("weigh", weigh)
        builder.add_edge(START, "weigh")
        return builder


def letters(case: Case) -> list[dict[str, Any]]:
    """None to three letters."""
    random = np.random.default_rng([case.seed, case.number])
    count = int(random.integers(0, 4))
    return [{"weight": float(random.random()), "kind": str(random.choice(["bill", "note"]))} for _ in range(count)]


def _onward(state: Pile) -> str:
    return "sort" if state["sorted"] < len(state["letters"]) else END


def _ask(state: Pile) -> None:
    if state["letters"]:
        ask("weigher", {"letters": state["letters"], "sorted": 0})
        send("weigher", {"letters": state["letters"], "sorted": 0})
