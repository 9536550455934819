"""A rule pack over what has been recorded: every event is judged again, and nothing is done again.

One pass, case by case, each in a read transaction of its own: memory does not grow with the ledger, and a running
service is no hindrance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Engine, exc

from gatewright.agents.errors import NotFoundError, UnavailableError
from gatewright.runtime.store.database import Database
from gatewright.safety.rules.events import Hook
from gatewright.safety.rules.guard import Guard

from . import recorded, tally
from .recorded import Case
from .tally import Report

RECORDED = "as recorded"

Step = Callable[[int], None]


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Which cases. `since`: those with a run begun then or later; `limit`: the newest of them."""

    deployment: str | None = None
    since: datetime | None = None
    case: str | None = None
    limit: int | None = None

    def ids(self, engine: Engine) -> list[str]:
        """Their ids, in the order of their first record.

        Raises:
            NotFoundError: the case that is named is not in the ledger.
        """
        with engine.connect() as connection:
            found = list(recorded.cases(connection, deployment=self.deployment, since=self.since))
        if self.case is not None:
            if self.case not in found:
                raise NotFoundError(f"the ledger has no case {self.case!r} here; `gatewright audit show` lists records")
            found = [self.case]
        return found if self.limit is None else found[-self.limit :]


@contextmanager
def ledger(database: Database) -> Generator[Engine]:
    """Connections to a database with records, to be read only; running services are no hindrance.

    Raises:
        UnavailableError: there is none, or it cannot be read.
    """
    if not database.exists():
        raise UnavailableError(
            f"there is no ledger in {database.place!r}: nothing has run there; name what a service works on with "
            "--data-dir or --database"
        )
    engine = database.connect(readonly=True)
    try:
        yield engine
    except exc.DatabaseError as error:
        raise database.unavailable(error) from error
    finally:
        engine.dispose()


def cases(engine: Engine, ids: list[str], step: Step) -> Iterator[Case]:
    """The cases, one in memory at a time; `step` is told of each that is done."""
    for case_id in ids:
        with engine.connect() as connection:
            case = recorded.read(connection, case_id)
        yield case
        step(1)


def run(engine: Engine, ids: list[str], guard: Guard, *, against: Guard | None = None, step: Step) -> Report:
    """Judge the events of the cases by `guard`, and tell what is different from before.

    Args:
        against: the rules to compare with; None for what was said when it happened.
    """
    report = Report(pack=guard.title, against=RECORDED if against is None else against.title)
    kinds: Counter[tuple[Hook, str, frozenset[str]]] = Counter()
    for case in cases(engine, ids, step):
        report.begin(case)
        others = None if against is None else recorded.judged(case, against)
        for happening, decision in recorded.judged(case, guard):
            event, judgement = happening.event, happening.judgement
            said, new = tally.then(judgement), tally.now(decision, judgement)
            old = said if others is None else tally.now(next(others)[1], judgement)
            report.add(case.id, happening, old, new)
            kinds[event.hook, event.name, event.labels] += 1
            report.hits.update(hit.rule_id for hit in decision.hits)
            report.errors.update(finding.rule_id for finding in decision.findings)
            if judgement is not None and judgement.pack == guard.title:
                report.same += 1
                if said.verdict != new.verdict:
                    report.deviations.add(tally.changed(case.id, happening, said, new))
    for rule in [rule for pack in guard.packs for rule in pack.rules]:
        report.looked[rule.id] = sum(
            count
            for (hook, name, labels), count in kinds.items()
            if rule.looks_at(hook, name, labels | guard.labels(name))
        )
    return report


def shadow(engine: Engine, ids: list[str], *, step: Step) -> Report:
    """What the packs on trial said when it happened, against what was in force; nothing is judged again."""
    report = Report(pack="", against=RECORDED)
    packs: dict[str, None] = {}
    for case in cases(engine, ids, step):
        report.begin(case)
        for happening in case.happenings:
            judgement = happening.judgement
            if judgement is None or judgement.shadow is None:
                continue
            packs[judgement.shadow.pack] = None
            report.add(case.id, happening, tally.then(judgement), tally.then(judgement.shadow))
            report.hits.update({rule.id for rule in judgement.shadow.rules})
    report.pack = " ".join(packs)
    return report
