"""What goes into a run and what comes out of it, as rules let it pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from gatewright.agents.errors import DeniedError
from gatewright.safety import canonical
from gatewright.safety.ledger import records
from gatewright.safety.rules.events import Hook

from . import judgements, results, runs
from .claims import Claimed
from .courses import adrive
from .judging import Judge, Ruling
from .recording import Office


@dataclass(frozen=True)
class Passed:
    """An input or output as it goes on."""

    value: Any
    changed: bool


class Passage:
    """The input and the output of one run; `guard` is what rules said of them, also where they refused one."""

    def __init__(self, run: Claimed, judge: Judge, office: Office) -> None:
        self.guard: records.GuardPart | None = None
        self._run = run
        self._judge = judge
        self._office = office

    async def admit(self, hook: Hook, value: Any, *, sender: str = "") -> Passed:
        """The input as rules let it in: judged once, however often the run is executed.

        Raises:
            DeniedError: they do not.
        """
        run = self._run
        if run.admitted is not None:
            stored = judgements.load(run.admitted)
            self.guard = records.GuardPart(before=stored.judgement)
            return Passed(value if stored.args is None else stored.args, stored.args is not None)
        admitted = await self._judged(hook, value, sender=sender)
        if self.guard is not None and self.guard.before is not None:
            said = judgements.dump(self.guard.before, args=admitted.value if admitted.changed else None)
            # Not waited for: whatever the run does is durable after it.
            self._office.writer.submit(lambda tx: runs.admit(tx, run.id, run.epoch, said), urgent=False)
        return admitted

    async def release(self, value: Any) -> Passed:
        """The output as rules let it out.

        Raises:
            DeniedError: they do not.
        """
        return await self._judged("output", value)

    async def _judged(self, hook: Hook, value: Any, *, sender: str = "") -> Passed:
        if not self._judge.wants(hook, self._run.agent):
            return Passed(value, False)
        given = hook != "output"
        plain = canonical.json_value(value)
        course = self._judge.judge(
            hook,
            self._run.agent,
            args=cast("Mapping[str, Any]", plain) if given else {},
            result=None if given else plain,
            text=results.given(plain) if given else results.said(value),
            sender=sender,
        )
        decision, judgement = cast("Ruling", await adrive(course))
        before = self.guard.before if self.guard is not None else None
        self.guard = records.GuardPart(before=judgement if given else before, after=None if given else judgement)
        if decision.verdict not in ("allow", "modify"):
            raise DeniedError(f"{hook} refused: {decision.reason}")
        replaced = decision.args if given else decision.result
        return Passed(value if replaced is None else replaced, replaced is not None)
