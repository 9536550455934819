"""Holding recorded conversations: everything is enqueued, decided, counted and compared."""

from pathlib import Path

from gatewright.agents import Conversation, RecordedToolCall
from gatewright.runtime.cli.episodes import APPROVER, Holding
from gatewright.runtime.config import Config, Deployment
from gatewright.runtime.service import Service
from gatewright.runtime.views import ApprovalView

AGENT = '''
from langchain_core.messages import AIMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph


@tool
def refund(amount: int) -> str:
    """Give money back."""
    return f"{amount} refunded"


def serve(state):
    said = refund.invoke({"amount": int(state["messages"][-1].content)})
    return {"messages": [AIMessage(said)]}


builder = StateGraph(MessagesState)
builder.add_node("serve", serve)
builder.add_edge(START, "serve")
builder.add_edge("serve", END)
graph = builder.compile()
'''

RULES = """
apiVersion: gatewright/v1
kind: RulePack
name: desk
version: 1
rules:
  - id: large
    on: {hook: tool.before, name: refund}
    when: args.amount > 100
    then: ask
    reason: large
    examples: {match: [{args: {amount: 101}}], pass: [{args: {amount: 100}}]}
"""


def configured(folder: Path) -> Config:
    (folder / "refunds.py").write_text(AGENT, "utf-8")
    (folder / "rules.yaml").write_text(RULES, "utf-8")
    desk = Deployment(graph=f"{folder / 'refunds.py'}:graph", rules=folder / "rules.yaml")
    return Config(data_dir=folder / "data", deployments={"desk": desk})


def conversation(name: str, *amounts: int, recorded: str = "{} refunded") -> Conversation:
    calls = [RecordedToolCall(name="refund", args={"amount": a}, result=recorded.format(a)) for a in amounts]
    return Conversation(id=name, customer=[str(amount) for amount in amounts], settings={}, tool_calls=calls)


async def test_every_turn_is_a_run_and_every_result_is_compared(tmp_path: Path) -> None:
    left: list[ApprovalView] = []
    conversations = [conversation("one", 5, 6, 7), conversation("two", 8)]
    async with await Service.open(configured(tmp_path)) as service:
        holding = Holding(service, "desk", approve=lambda _: True, tell=left.append)
        await holding.start(conversations)
        await holding.follow()
        await holding.compare()
        runs = await service.runs()

    outcome = holding.outcome
    assert (outcome.conversations, len(runs)) == (2, 4)
    assert outcome.effects == {"tool": 4}
    assert outcome.verdicts == {"allow": 4}
    assert (outcome.tool_results.equal, outcome.tool_results.total) == (4, 4)
    assert (outcome.rewards.total, holding.divergences, left) == (0, [], [])


async def test_what_waits_is_approved_unattended_and_turns_behind_it_follow(tmp_path: Path) -> None:
    async with await Service.open(configured(tmp_path)) as service:
        holding = Holding(service, "desk", approve=lambda _: True, tell=lambda _: None)
        await holding.start([conversation("one", 500, 6)])
        await holding.follow()
        await holding.compare()
        decided = await service.approvals(state=None)

    assert [view.decided_by for view in decided] == [APPROVER]
    assert holding.outcome.verdicts == {"ask": 1, "allow": 1}
    assert holding.outcome.approvals == 1
    assert holding.divergences == []


async def test_what_is_left_to_people_is_told_once_and_waited_for(tmp_path: Path) -> None:
    async with await Service.open(configured(tmp_path)) as service:
        told: list[str] = []
        holding = Holding(service, "desk", approve=lambda _: False, tell=lambda view: told.append(view.id))
        await holding.start([conversation("one", 500)])
        (run_id,) = holding.cases[0].runs
        waiting = await service.wait(run_id)
        await service.decide(waiting.waiting_for[0], "approve", by="ada")
        await holding.follow()

        assert (await service.run(run_id)).status == "succeeded"
        assert len(told) <= 1


async def test_a_result_that_differs_is_named(tmp_path: Path) -> None:
    async with await Service.open(configured(tmp_path)) as service:
        holding = Holding(service, "desk", approve=lambda _: True, tell=lambda _: None)
        await holding.start([conversation("one", 5, recorded="{} were refunded")])
        await holding.follow()
        await holding.compare()

    (found,) = holding.divergences
    assert (holding.outcome.tool_results.equal, holding.outcome.tool_results.total) == (0, 1)
    assert found.conversation == "one"
    assert "'5 were refunded'" in found.message and "'5 refunded'" in found.message


async def test_a_run_that_fails_is_named_with_its_error(tmp_path: Path) -> None:
    config = configured(tmp_path)
    config = config.model_copy(update={"worker": config.worker.model_copy(update={"max_attempts": 1})})
    failing = Conversation(id="one", customer=["not a number"], settings={})
    async with await Service.open(config) as service:
        holding = Holding(service, "desk", approve=lambda _: True, tell=lambda _: None)
        await holding.start([failing])
        await holding.follow()

    assert "failed: ValueError" in holding.divergences[0].message
