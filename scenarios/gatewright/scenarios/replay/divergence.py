"""Where a replay leaves its record, shown side by side."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

from gatewright.agents.errors import GatewrightError

Kind = Literal["request", "order", "choice", "verdict", "seal", "output", "missing", "failure"]
"""`request`: another effect was asked for · `order`: one that the record has at another place · `choice`: a decision
came out otherwise · `verdict`: rules say something else · `seal`: a recorded value is not the one that its record
commits to · `output`: a run gave another result · `missing`: the record has effects that were not asked for ·
`failure`: the code failed where it had not, or did not where it had."""


class Divergence(NamedTuple):
    """The first difference of a replay. `position`: of the record in the log, None where it has none.

    `recorded` and `replayed` are JSON values; `recorded` is that of the nearest recorded request where the record has
    none at this place.
    """

    episode: str
    run_id: str
    position: int | None
    kind: Kind
    what: str
    recorded: Any = None
    replayed: Any = None

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return self._asdict()

    def beside(self) -> str:
        """Record and replay line by line, as `diff -u` shows them; empty where there is nothing to compare."""
        if self.recorded is None and self.replayed is None:
            return ""
        old, new = (_lines(value) for value in (self.recorded, self.replayed))
        return "\n".join(difflib.unified_diff(old, new, "recorded", "replayed", lineterm="", n=2))

    def __str__(self) -> str:
        place = "" if self.position is None else f", record {self.position}"
        return f"{self.episode}, run {self.run_id}{place}: {self.what}"


class DivergedError(GatewrightError):
    """A replay has left its record; nothing more is answered."""

    def __init__(self, divergence: Divergence) -> None:
        super().__init__(str(divergence))
        self.divergence = divergence


def nearest(request: Any, candidates: Iterable[Any]) -> Any:
    """The candidate most like the request, by their JSON text; None where there is none."""
    text = _text(request)
    best: Any = None
    score = -1.0
    for candidate in candidates:
        found = difflib.SequenceMatcher(None, text, _text(candidate)[: 4 * len(text) + 1000], autojunk=False)
        if found.real_quick_ratio() > score and (ratio := found.quick_ratio()) > score:
            best, score = candidate, ratio
    return best


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=str)


def _lines(value: Any) -> list[str]:
    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True, default=str).splitlines()
