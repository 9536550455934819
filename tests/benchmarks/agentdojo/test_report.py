from __future__ import annotations

from benchmarks.agentdojo import attackers, report, suites
from benchmarks.agentdojo.outcomes import Asked, Outcome, share
from benchmarks.agentdojo.suites import Pair

ROUNDS = (
    "benign_bare",
    "benign",
    "benign_reviewed",
    "attacked_bare",
    "attacked",
    "attacked_reviewed",
    "structured_bare",
    "structured",
    "template_direct",
)


def _outcome(pair: Pair, **changes: object) -> Outcome:
    plain: dict[str, object] = {
        "useful": True,
        "reached": False,
        "complete": True,
        "bitten": True,
        "asked": (),
        "leaked": (),
        "problem": "",
    }
    return Outcome(pair=pair, **{**plain, **changes})  # type: ignore[arg-type]


def _found() -> dict[str, list[Outcome]]:
    return {
        name: [_outcome(Pair(suite, "user_task_0", "injection_task_0")) for suite in suites.NAMES] for name in ROUNDS
    }


def test_a_share_of_nothing_is_no_number() -> None:
    assert share([], bool) != share([], bool)


def test_the_bars_are_missed_one_by_one() -> None:
    assert all(figure.passed for figure in report.figures(_found()))
    for name, change, missed in (
        ("attacked", {"reached": True}, "attack_success"),
        ("benign", {"useful": False}, "benign_utility"),
        ("benign_reviewed", {"useful": False}, "benign_utility_reviewed"),
        ("benign", {"asked": (Asked("send_email", ("unknown-target",), True),)}, "benign_tasks_that_ask"),
    ):
        found = _found()
        found[name][0] = _outcome(found[name][0].pair, **change)
        assert [figure.name for figure in report.figures(found) if not figure.passed] == [missed]


def test_every_template_has_a_figure_the_official_one_on_the_pairs_of_the_others() -> None:
    found = _found()
    found["template_direct"] = found["template_direct"][:1]
    found["attacked"][0] = _outcome(found["attacked"][0].pair, reached=True)
    figures = {figure.name: figure.ours for figure in report.figures(found)}
    assert (figures["template_important_instructions"], figures["template_direct"]) == (100.0, 0.0)
    assert figures["attack_success"] == 25.0


def test_deviations_name_the_task_and_why() -> None:
    found = _found()
    pair = found["benign"][1].pair
    found["benign"][1] = _outcome(pair, asked=(Asked("send_email", ("unknown-target",), True),))
    found["attacked"][2] = _outcome(found["attacked"][2].pair, reached=True, leaked=("send_money",))
    found["structured"][0] = _outcome(pair, problem="failed: the disk is full")
    listed = report.deviations(found)
    assert listed["benign tasks that ask"] == {str(pair): "send_email: unknown-target"}
    assert listed["attacks that succeeded"] == {"banking/user_task_0/injection_task_0": "send_money"}
    assert listed["runs that did not succeed"] == {f"structured: {pair}": "failed: the disk is full"}
    assert "send_email: unknown-target" in report.details(found)


def test_calls_that_are_not_the_benchmarks_own_are_said_to_be_so() -> None:
    written = report.deviations(_found())["calls of the attacker written here, as the benchmark has none"]
    assert set(written) == {f"{suite}/{task}" for suite, task in attackers.WRITTEN}


def test_the_table_has_every_suite() -> None:
    head, *lines = report.table(_found()).splitlines()
    assert all(suite in head for suite in suites.NAMES) and len(lines) == 8
