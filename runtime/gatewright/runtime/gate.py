"""The gate: whether an effect may be performed, by the rules and by the people they ask."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import Any, NamedTuple, NoReturn

from langgraph.errors import GraphInterrupt
from langgraph.types import Interrupt

from gatewright.agents.effects import Effect
from gatewright.agents.errors import DeniedError, GatewrightError, TerminatedError
from gatewright.safety import approvals, canonical, limits
from gatewright.safety.ledger import records
from gatewright.safety.rules.events import BEFORE
from gatewright.safety.verdicts import Decision

from . import journal, judgements, requests, results, runs
from .approvals import grants
from .courses import Step
from .journal import Entry
from .judging import Judge, Ruling, recorded
from .meters import Reservation, Reserved
from .notices import telling
from .recording import Execution, Office, Recorder, Wish
from .store.writer import Transaction


class Permit(NamedTuple):
    """Leave to perform: with which arguments, judged how, approved by whom."""

    args: Mapping[str, Any]
    judgement: records.Judgement
    approval: records.ApprovalPart | None = None
    consumes: approvals.Request | None = None
    reservation: Reservation | None = None


class Known(NamedTuple):
    """A person told what the effect's result was: there is nothing to perform."""

    value: Any


def park(waits_for: str) -> NoReturn:
    """Leave the graph until the approval or run of this id has come to its end."""
    raise GraphInterrupt(
        (Interrupt(value={"gatewright_waits_for": waits_for}, id=hashlib.md5(waits_for.encode()).hexdigest()),)
    )


def waits_for(interrupt: Any) -> str | None:
    """What one of our own interrupts waits for; None for an agent's own `interrupt()`."""
    value = getattr(interrupt, "value", None)
    found = value.get("gatewright_waits_for") if isinstance(value, Mapping) else None
    return found if isinstance(found, str) else None


class Gate:
    """Lets the effects of one execution pass, refuses them, or parks the run until people have decided."""

    def __init__(
        self,
        execution: Execution,
        office: Office,
        judge: Judge,
        recorder: Recorder,
        asked: Mapping[str, approvals.Request],
        *,
        close: Callable[[GatewrightError], None],
    ) -> None:
        self._run = execution
        self._office = office
        self._judge = judge
        self._meters = judge.meters
        self._recorder = recorder
        self._requests = dict(asked)
        self._close = close

    def permit(self, wish: Wish) -> Generator[Step, Any, Permit | Known]:
        """Give leave, or what people say the result was.

        Raises:
            DeniedError: rules or people refused; recorded.
            TerminatedError: rules ended the run; recorded.
            GraphInterrupt: people are asked.
        """
        entry = wish.entry
        stored = None if entry.guard is None else judgements.load(entry.guard)
        if entry.status == "parked" and stored is not None:
            return (yield from self._counted(wish, _granted(wish.effect, stored)))
        if entry.status == "intended" and stored is not None:
            known = yield from self._unknown(wish, stored)
            return known if isinstance(known, Known) else (yield from self._counted(wish, known))
        request = self._requests.get(entry.key)
        if entry.status == "asked" and request is not None and stored is not None:
            decided = yield from self._decided(wish, request, stored.judgement)
            if decided is not None:
                return decided
        ruling = yield from self._judged(wish, wish.effect.args)
        reserved = _UNLIMITED
        if self._meters is not None and ruling.decision.verdict not in ("deny", "terminate"):
            reserved = yield from self._meters.reserve(self._run, wish.effect.kind, wish.effect.name)
            ruling = self._limited(ruling, reserved)
        decision, judgement = ruling
        if decision.verdict == "deny":
            self.deny(wish, judgement, decision.reason)
        if decision.verdict == "terminate":
            self.terminate(wish, judgement, decision.reason)
        args = _by(reserved.model, wish.effect.args if decision.args is None else decision.args)
        if decision.verdict == "ask":
            if reserved.reservation is not None:
                reserved.reservation.release()  # until it has been decided
            granted = yield from self._request(wish, decision, judgement, args)
            return (yield from self._let_pass(wish, granted)) or (yield from self.permit(wish))
        return Permit(args, judgement, reservation=reserved.reservation)

    def check_running(self, entry: Entry) -> None:
        """Park the run while its deployment is paused."""
        if self._office.controls.paused(self._run.deployment) is not None:
            self.pause(entry)

    def pause(self, entry: Entry) -> NoReturn:
        """Park the run until its deployment is resumed."""
        if entry.status == "released":
            entry.status = "parked"  # in memory: the step must not go on without it
        park(f"{runs.PAUSE}{self._run.deployment}")

    def _judged(self, wish: Wish, args: Mapping[str, Any]) -> Generator[Step, Any, Ruling]:
        effect = wish.effect
        hook = BEFORE.get(effect.kind)
        if hook is None or not self._judge.wants(hook, effect.name, effect.labels):
            return self._judge.allowed
        text = results.given(args) if effect.kind in ("model", "message") else ""
        return (
            yield from self._judge.judge(
                hook, effect.name, labels=effect.labels, args=args, key=wish.entry.key, text=text
            )
        )

    def _decided(
        self, wish: Wish, request: approvals.Request, stored: records.Judgement
    ) -> Generator[Step, Any, Permit | Known | None]:
        """Go by what people decided, as it is stored; None where the decision is void and they must be asked anew."""
        if request.state == "open":
            park(request.id)
        answer = requests.approval_part(request)
        if request.state == "expired":
            self.deny(wish, stored, "nobody decided in time (this is not a refusal)", approval=answer)
        if request.state == "rejected":
            self.deny(wish, stored, f"refused by {answer.by}: {answer.reason}", approval=answer)
        if request.state == "superseded":
            return (yield from self._asked_anew(wish, request))
        if request.state not in ("approved", "edited", "answered"):
            return None
        if dataclasses.replace(request.action, pack=self._judge.digest).digest != request.action.digest:
            yield self._office.writer.submit(lambda tx: requests.void(tx, request.id, now=self._office.clock.now()))
            return None
        if request.state == "answered" and request.vote is not None:
            self._recorder.finish(wish, "ok", request.vote.value, before=stored, approval=answer)
            return Known(request.vote.value)
        args = request.decided.args
        if request.state == "edited":  # an edit may not allow more than the rules do
            again = yield from self._judged(wish, args)
            if again.decision.verdict in ("deny", "terminate"):
                reason = f"the arguments that {answer.by} gave are refused: {again.decision.reason}"
                self.deny(wish, again.judgement, reason, approval=answer)
            args = args if again.decision.args is None else again.decision.args
        elif canonical.json_value(dict(wish.effect.args)) == args:
            args = wish.effect.args
        return (yield from self._let_pass(wish, Permit(args, stored, answer, request)))

    def _let_pass(self, wish: Wish, permit: Permit) -> Generator[Step, Any, Permit | None]:
        """Count what people let pass, over the limits that they were shown; None where another asks by now."""
        if self._meters is None:
            return permit
        effect, request = wish.effect, permit.consumes
        shown = frozenset(rule.id for rule in permit.judgement.rules if rule.verdict == "ask")
        reserved = yield from self._meters.reserve(self._run, effect.kind, effect.name, over=shown)
        if reserved.reservation is not None:
            return permit._replace(args=_by(reserved.model, permit.args), reservation=reserved.reservation)
        decision, judgement = self._limited(self._judge.allowed, reserved)
        if decision.verdict != "ask":
            self.deny(wish, judgement, decision.reason, approval=permit.approval)
        if request is not None:
            yield self._office.writer.submit(lambda tx: requests.void(tx, request.id, now=self._office.clock.now()))
        return None

    def _limited(self, ruling: Ruling, reserved: Reserved) -> Ruling:
        """What rules and limits say together."""
        if not reserved.hits and not reserved.findings:
            return ruling
        run, now = self._run, self._office.clock.now()
        for hit in reserved.hits:
            self._recorder.write(partial(telling.used_up, hit=hit, deployment=run.deployment, agent=run.agent, now=now))
        decision, before = ruling
        both = limits.joined(decision, reserved.hits, findings=reserved.findings, terms=reserved.terms)
        return Ruling(both, dataclasses.replace(recorded(both, before.scores), shadow=before.shadow))

    def _counted(self, wish: Wish, permit: Permit) -> Generator[Step, Any, Permit]:
        """Count what goes on after it was let through before."""
        if self._meters is None:
            return permit
        effect = wish.effect
        reserved = yield from self._meters.reserve(self._run, effect.kind, effect.name, insist=True)
        return permit._replace(reservation=reserved.reservation)

    def _asked_anew(self, wish: Wish, request: approvals.Request) -> Generator[Step, Any, Permit]:
        """Put the arguments that somebody wrote before others, if the rules do not refuse them."""
        answer = requests.approval_part(request)
        decision, judgement = yield from self._judged(wish, request.decided.args)
        if decision.verdict in ("deny", "terminate"):
            reason = f"the arguments that {answer.by} gave are refused: {decision.reason}"
            self.deny(wish, judgement, reason, approval=answer)
        args = request.decided.args if decision.args is None else decision.args
        return (yield from self._request(wish, decision, judgement, args, after=request))

    def _unknown(self, wish: Wish, stored: judgements.Stored) -> Generator[Step, Any, Permit | Known]:
        """The process died while this was being performed: repeat what may be repeated, else ask what happened."""
        permit = _granted(wish.effect, stored)
        if {"idempotent", "reads"} & wish.labels or wish.effect.kind in ("message", "decision"):
            return permit
        request = self._requests.get(f"{wish.entry.key}?")
        if request is None or request.state not in ("open", "approved", "answered", "rejected"):
            request = yield from self._ask_outcome(wish, permit.args)
        if request.state == "open":
            park(request.id)
        answer = requests.approval_part(request)
        if request.state == "approved":
            return Permit(permit.args, permit.judgement, answer, request)
        if request.state == "answered" and request.vote is not None:
            value = request.vote.value
            self._recorder.finish(wish, "ok", value, before=permit.judgement, args=permit.args, approval=answer)
            return Known(value)
        self.deny(wish, permit.judgement, f"given up by {answer.by}: {answer.reason}", approval=answer)

    def _ask_outcome(self, wish: Wish, args: Mapping[str, Any]) -> Generator[Step, Any, approvals.Request]:
        now = self._office.clock.now()
        shown = dataclasses.replace(wish.effect, args=args)
        request = requests.about_outcome(self._run, shown, self._judge.digest, owner=self._judge.owner, now=now)
        key = f"{wish.entry.key}?"
        yield self._office.writer.submit(
            lambda tx: requests.open_request(tx, self._run.run_id, self._run, key, request, now=now)
        )
        self._announce(key, request)
        return request

    def _request(
        self,
        wish: Wish,
        decision: Decision,
        judgement: records.Judgement,
        args: Mapping[str, Any],
        *,
        after: approvals.Request | None = None,
    ) -> Generator[Step, Any, Permit]:
        """Put an action before people, and park; or give leave at once where somebody has granted it.

        Args:
            after: the request whose arguments were edited to these.
        """
        entry, now = wish.entry, self._office.clock.now()
        request = requests.about_action(
            self._run,
            wish.effect,
            args,
            decision,
            self._judge.digest,
            owner=self._judge.owner,
            labels=wish.labels,
            after=after,
            now=now,
        )
        asked = entry.copy()
        asked.status, asked.guard = "asked", judgements.dump(judgement)

        def write(transaction: Transaction) -> records.ApprovalPart | None:
            if after is None:
                granted = grants.covering(transaction, self._run.run_id, self._run, request, now=now)
                if granted is not None:
                    return granted
            requests.open_request(transaction, self._run.run_id, self._run, entry.key, request, now=now)
            journal.put(transaction, self._run.run_id, asked, now=now)
            return None

        granted = yield self._office.writer.submit(write)
        if granted is not None:
            return Permit(args, judgement, granted)
        entry.status, entry.guard = asked.status, asked.guard
        self._announce(entry.key, request)
        park(request.id)

    def _announce(self, key: str, request: approvals.Request) -> None:
        self._requests[key] = request
        self._office.publish(self._run.run_id, "approval", {"id": request.id, "state": "open", "kind": request.kind})

    def deny(
        self,
        wish: Wish,
        judgement: records.Judgement,
        reason: str,
        *,
        approval: records.ApprovalPart | None = None,
    ) -> NoReturn:
        """Refuse the effect, on record."""
        error = DeniedError(reason or "a rule refused this")
        wish.entry.exception = error
        self._recorder.finish(wish, "denied", results.failure(error), before=judgement, approval=approval)
        raise error

    def terminate(self, wish: Wish, judgement: records.Judgement, reason: str) -> NoReturn:
        """Refuse the effect and every further one, on record."""
        error = TerminatedError(reason or "a rule ended this run")
        wish.entry.exception = error
        self._recorder.finish(wish, "terminated", results.failure(error), before=judgement)
        self._close(error)
        raise error


_UNLIMITED = Reserved()


def _by(model: str | None, args: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a model call that goes on with another model."""
    return args if model is None else {**args, "model": model}


def _granted(effect: Effect, stored: judgements.Stored) -> Permit:
    """What was granted when it was performed before, as it was stored."""
    return Permit(effect.args if stored.args is None else stored.args, stored.judgement, stored.approval)
