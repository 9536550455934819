"""Rules: what judging by them costs beside the CEL engine alone, and beside CEL in pure Python.

Ours is `Guard.evaluate`: the event is checked and made visible, provenance is looked up, errors become findings,
reasons are written and verdicts joined. The engine alone (cel-expr-python) evaluates the same conditions on values that
were found out before; cel-python does so in Python. All give the same matches, which is checked first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import celpy
from cel_expr_python import cel  # type: ignore[import-untyped]  # ships stubs without a py.typed marker
from cel_expr_python.ext import ext_strings  # type: ignore[import-untyped]
from celpy.adapter import json_to_cel

from . import backtests, rulebook
from .figures import Bar, Figure, Turn, compare, say, take_turns
from .program import Setting, main

AGAINST_ENGINE = Bar(value=1.5, sense="at most")
AGAINST_PYTHON = Bar(value=1 / 250, sense="at most")

Judge = Callable[[], list[int]]
"""Judges the event once; gives the rules that matched."""


def _ours(count: int) -> Judge:
    guard = rulebook.guard(count)
    event = rulebook.event(guard)

    def judge() -> list[int]:
        decision = guard.evaluate(event)
        assert not decision.findings, decision.findings
        return sorted(int(hit.rule_id.removeprefix("rule-")) for hit in decision.hits)

    return judge


def _engine(count: int) -> Judge:
    """The engine of ours, alone."""
    mapping = cel.Type.Map(cel.Type.STRING, cel.Type.DYN)
    listed = cel.Type.List(mapping)
    variables = {"tool.name": cel.Type.STRING, "agent": cel.Type.STRING, "args": mapping}
    environment = cel.NewEnv(
        variables=variables | {"history": listed, "targets": listed}, extensions=[ext_strings.ExtStrings()]
    )
    compiled = [environment.compile(text) for text in rulebook.conditions(count)]
    values = rulebook.values(rulebook.event(rulebook.guard(count)))

    def judge() -> list[int]:
        activation = environment.Activation(values)
        return [at for at, expression in enumerate(compiled) if expression.eval(activation).value() is True]

    return judge


def _python(count: int) -> Judge:
    """CEL in pure Python."""
    environment = celpy.Environment()
    programs = [environment.program(environment.compile(text)) for text in rulebook.conditions(count)]
    values = rulebook.values(rulebook.event(rulebook.guard(count)))
    values["tool"] = {"name": values.pop("tool.name")}

    def judge() -> list[int]:
        activation: Any = {name: json_to_cel(value) for name, value in values.items()}
        return [at for at, program in enumerate(programs) if program.evaluate(activation)]

    return judge


def _timed(judge: Judge, times: int) -> Turn:
    """Milliseconds of CPU time to judge the event once."""

    async def turn() -> float:
        began = time.thread_time()
        for _ in range(times):
            judge()
        return (time.thread_time() - began) * 1000 / times

    return turn


async def _evaluation(setting: Setting, count: int) -> list[Figure]:
    ours, engine, python = _ours(count), _engine(count), _python(count)
    assert ours() == engine() == python() != [], (ours(), engine(), python())
    say(f"policy: {count} rules, of which {len(ours())} match")
    times = setting.size(4000 // count, 2)
    alone = await take_turns(_timed(ours, times), _timed(engine, times), setting.size(21, 2))
    slow = await take_turns(_timed(ours, times), _timed(python, 1), setting.size(5, 1))
    return [
        compare(f"{count}_rules", "ms", alone, AGAINST_ENGINE),
        compare(f"{count}_rules_against_cel_python", "ms", slow, AGAINST_PYTHON),
    ]


async def measure(setting: Setting) -> Sequence[Figure]:
    """Judging with few rules and with many, and judging what is on record."""
    return [
        *await _evaluation(setting, 20),
        *await _evaluation(setting, 200),
        *backtests.measure(setting.folder / "backtest", setting.size(100_000, 1_000)),
    ]


if __name__ == "__main__":
    main(measure, __doc__)
