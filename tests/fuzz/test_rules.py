"""The fuzzing targets hold on what they begin from, so that `make fuzz` starts from a sound place."""

import random
import runpy
from pathlib import Path
from typing import Any, get_args

import pytest

from gatewright.safety.rules.events import Hook

_HARNESS: dict[str, Any] = runpy.run_path(str(Path(__file__).parent / "rules.py"))
_ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("pack", sorted(_ROOT.glob("agents/**/rules.yaml")), ids=lambda path: path.parent.name)
def test_a_rule_pack_of_ours_loads_and_judges_any_event(pack: Path) -> None:
    _HARNESS["load"](pack.read_bytes())


@pytest.mark.parametrize(
    "condition",
    [
        "true",
        "args.amount > 3",
        "args.a == args.a",
        "args.a > 3 || args.a <= 3",
        "has(args.a) && args.a.size() > 2",
        "history.exists(h, h.name == name)",
        "args.a.b.c == 1 / 0",
        "personal(args).size() > 0",
        "args.a.matches('^(a+)+$')",
        "int(args.a) + 9223372036854775807 > 0",
    ],
)
@pytest.mark.parametrize("seed", range(30))
def test_a_condition_or_its_opposite_denies(condition: str, seed: int) -> None:
    hook = get_args(Hook).index("tool.before")
    _HARNESS["judge"](condition.encode() + bytes([0, hook]) + random.Random(seed).randbytes(60))


@pytest.mark.parametrize("seed", range(20))
def test_masked_text_holds_nothing_personal(seed: int) -> None:
    chance = random.Random(seed)
    parts = ["kim@example.org", "+49 30 901820", "4111 1111 1111 1111", "password=", "x", " ", "-", "1", "\u200b"]
    _HARNESS["mask"]("".join(chance.choices(parts, k=20)).encode())


def test_chance_alone_breaks_nothing() -> None:
    chance = random.Random(0)
    for _ in range(200):
        data = chance.randbytes(chance.randrange(120))
        for target in _HARNESS["TARGETS"].values():
            target(data)
