"""What a trial shows, for people and for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from .history import VIOLATIONS, Findings

SHOWN = 10  # of each kind of violation


class Report(BaseModel):
    """Everything that is printed.

    `ended_by_themselves`: processes that nobody had killed and that were started again · `approved`: what people let
    pass · `no_network`: why no network was cut.
    """

    seed: int
    backend: str
    faults: dict[str, int]
    no_network: str
    ended_by_themselves: list[str]
    approved: int
    findings: Findings
    ledger_holds: bool
    ledger_size: int
    ledger_said: str

    @property
    def kept(self) -> bool:
        """Whether every promise was kept."""
        return self.findings.kept and self.ledger_holds

    def shown(self) -> dict[str, Any]:
        """For programs."""
        return {"kept": self.kept, **self.model_dump(mode="json")}

    def table(self) -> str:
        """For people."""
        found = self.findings
        rows: list[tuple[str, Any]] = [
            ("seed", self.seed),
            ("backend", self.backend),
            *((f"faults: {kind}", number) for kind, number in sorted(self.faults.items())),
            *([("network not cut", self.no_network)] if self.no_network else []),
            ("processes that ended by themselves", len(self.ended_by_themselves)),
            ("threads", found.threads),
            ("runs accepted", found.accepted),
            ("runs finished", found.finished),
            ("changes outside", found.changes),
            *((f"calls by {name}", number) for name, number in sorted(found.calls_by.items())),
            ("calls repeated under their key, without effect", found.keyed_again),
            ("outcomes that people were asked about", found.unknown_outcomes),
            ("approvals given", self.approved),
            ("keyed steps", found.steps),
            *((name, len(found.violations[name])) for name in VIOLATIONS),
            ("ledger records", self.ledger_size),
            ("ledger holds", "yes" if self.ledger_holds else f"NO: {self.ledger_said}"),
        ]
        width = max(len(name) for name, _ in rows)
        lines = [f"{name:{width}}  {value}" for name, value in rows]
        for name in VIOLATIONS:
            wrong = found.violations[name]
            lines += [f"{name}: {one}" for one in wrong[:SHOWN]]
            lines += [f"{name}: and {len(wrong) - SHOWN} more"] if len(wrong) > SHOWN else []
        return "\n".join([*lines, "", "every promise was kept" if self.kept else "PROMISES WERE BROKEN"])


def counted(kinds: Iterable[str]) -> dict[str, int]:
    """How often each occurs."""
    return dict(Counter(kinds))
