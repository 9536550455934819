"""One trial: conversations are held with an installation, disturbed or not, and everything is noted."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from . import clients, outside
from .conversations import scripts
from .history import Accepted, Course, Ending, Final, History, Step, check
from .installation import Installation
from .people import People
from .processes import PROGRAM, ROOT, search_path
from .schedule import Fault

QUIET = 180.0  # seconds without any progress after which a trial is given up
STEPS = 20  # of each key
LOOK = 1.0  # seconds between two looks
PAGE = 1000


class Audit(NamedTuple):
    """What `gatewright audit verify` says, as a process of its own."""

    ok: bool
    size: int
    said: str


class Trial:
    """Holds conversations with an installation that is up."""

    def __init__(self, installation: Installation, *, seed: int, customers: int) -> None:
        """`customers`: how many processes of clients."""
        self._installation = installation
        self._seed = seed
        self._customers = customers
        self.people = People(installation.urls, installation.record, certain=installation.certain)
        self.ended_by_themselves: list[str] = []

    async def hold(
        self,
        customers: Sequence[tuple[str, str]],
        faults: Sequence[Fault],
        *,
        seconds: float,
        keys: Sequence[str] = (),
    ) -> History:
        """Hold what customers say (name and script) and send the steps of `keys`, begun within `seconds`, while faults
        happen; then wait until all is quiet.

        What has not ended when nothing has moved for `QUIET` seconds is left so, and shows in the history.

        Raises:
            TimeoutError: no service answers.
        """
        began = time.monotonic()
        desk = asyncio.create_task(self.people.attend())
        watch = asyncio.create_task(self._watch())
        suffering = [asyncio.create_task(self._suffer(fault, began)) for fault in faults]
        try:
            await asyncio.gather(*self._start_customers(customers, keys, seconds), *suffering)
            await self._quiet()
        finally:
            for task in (desk, watch, *suffering):
                task.cancel()
            await asyncio.gather(desk, watch, *suffering, return_exceptions=True)
        return await self._history(dict(customers), dict.fromkeys(keys, STEPS))

    async def _suffer(self, fault: Fault, began: float) -> None:
        await asyncio.sleep(max(0.0, began + fault.at - time.monotonic()))
        print(f"{time.monotonic() - began:6.1f} s  {fault.kind} {fault.target}, {fault.lasts:.1f} s", file=sys.stderr)
        await self._installation.suffer(fault)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(2.0)
            self.ended_by_themselves += self._installation.revive()

    def _start_customers(self, customers: Sequence[tuple[str, str]], keys: Sequence[str], seconds: float) -> list[Any]:
        started: list[Any] = []
        for number in range(self._customers):
            folder = self._installation.folder
            order = clients.Order(
                services=self._installation.urls,
                record=folder / f"accepted-{number}.jsonl",
                seed=self._seed,
                customers=list(customers[number :: self._customers]),
                keys=list(keys[number :: self._customers]),
                steps=STEPS,
                seconds=seconds,
                patience=600.0,
            )
            path = folder / f"customers-{number}.json"
            path.write_text(order.model_dump_json(), "utf-8")
            started.append(_customers(path))
        return started

    def _promised(self) -> list[Accepted | Step]:
        files = sorted(self._installation.folder.glob("accepted-*.jsonl"))
        return [one for file in files for one in clients.promised(file)]

    async def _quiet(self) -> None:
        """Until no run is under way, and all steps have been noted."""
        moved, last = time.monotonic(), ""
        steps = {(one.key, one.sequence) for one in self._promised() if isinstance(one, Step)}
        async with httpx.AsyncClient(timeout=30.0) as client:
            while True:
                counts = (await self._read(client, "/v1/overview"))["runs"]
                invocations, marks = outside.recorded(self._installation.record)
                busy = any(counts.get(status) for status in ("queued", "running", "waiting"))
                if not busy and steps <= {(mark.key, mark.sequence) for mark in marks}:
                    return
                seen = json.dumps([counts, len(invocations), len(marks)])
                if seen != last:
                    moved, last = time.monotonic(), seen
                if time.monotonic() - moved > QUIET:
                    steps_left = len(steps - {(mark.key, mark.sequence) for mark in marks})
                    print(f"nothing has moved for {QUIET:g} s: {counts}, {steps_left} steps left", file=sys.stderr)
                    return
                await asyncio.sleep(LOOK)

    async def _history(self, customers: dict[str, str], keys: dict[str, int]) -> History:
        """Everything that was noted, and how everything ended."""
        promised = self._promised()
        accepted = [one for one in promised if isinstance(one, Accepted)]
        invocations, marks = outside.recorded(self._installation.record)
        async with httpx.AsyncClient(timeout=30.0) as client:
            status = {run["id"]: run["status"] async for run in self._all(client, "/v1/runs?")}
            approved: dict[str, list[str]] = {}
            async for request in self._all(client, "/v1/approvals?state=any"):
                if request["kind"] == "approval":
                    approved.setdefault(request["case_id"], []).append(request["action"]["name"])
            finals = {
                case: await self._final(client, case, sorted(approved.get(case, [])))
                for case in sorted({one.case for one in accepted})
            }
        return History(
            customers=customers,
            accepted=accepted,
            invocations=invocations,
            answers=self.people.answers,
            keys=keys,
            steps=[one for one in promised if isinstance(one, Step)],
            endings=[Ending(run=one.run, status=status.get(one.run, "unknown")) for one in promised],
            finals=finals,
            marks=marks,
        )

    async def _all(self, client: httpx.AsyncClient, path: str) -> AsyncIterator[dict[str, Any]]:
        offset = 0
        while True:
            page = await self._read(client, f"{path}&limit={PAGE}&offset={offset}")
            for one in page:
                yield one
            if len(page) < PAGE:
                return
            offset += PAGE

    async def _final(self, client: httpx.AsyncClient, case: str, approved: list[str]) -> Final:
        state = await self._read(client, f"/v1/threads/{case}/state")
        rows = await asyncio.to_thread(outside.asked, self._installation.socket, {"asks": "rows", "case": case})
        named = json.dumps(state["values"]).replace(f"recorded-{case}-", "recorded-")
        return Final(values=json.loads(named), rows=rows, approved=approved)

    async def _read(self, client: httpx.AsyncClient, path: str) -> Any:
        limit = time.monotonic() + QUIET
        while True:
            for url in self._installation.urls:
                with suppress(httpx.HTTPError):
                    answer = await client.get(url + path)
                    if answer.is_success:
                        return answer.json()
            if time.monotonic() > limit:
                raise TimeoutError(f"no service answers {path!r}")
            await asyncio.sleep(LOOK)


async def _customers(order: Path) -> None:
    with order.with_suffix(".log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.chaos.clients", str(order), cwd=ROOT, stdout=log, stderr=log
        )
        if await process.wait():
            said = order.with_suffix(".log").read_text("utf-8")[-2000:]
            print(f"customers gave up: {said}", file=sys.stderr)


def courses(history: History, seed: int) -> dict[str, Course]:
    """The courses of conversations from a history in which nothing was disturbed.

    Raises:
        RuntimeError: it went wrong all the same, so nothing can be compared with it.
    """
    said = {script.id: script.said for script in scripts(seed)}
    held = {one.case: history.customers[one.customer] for one in history.accepted}
    found = {
        conversation: Course(
            conversation=conversation,
            runs=len(said[conversation]),
            changes=[one for one in history.invocations if one.case == case],
            final=history.finals[case],
        )
        for case, conversation in held.items()
    }
    wrong = {name: some[:3] for name, some in check(history, found).violations.items() if some}
    if wrong or not any(course.changes for course in found.values()):
        raise RuntimeError(f"undisturbed conversations went wrong: {wrong or 'they changed nothing'}")
    return found


def audit(installation: Installation) -> Audit:
    """Verify the ledger."""
    done = subprocess.run(
        [str(PROGRAM), "audit", "verify", "--json"],
        cwd=installation.folder,
        env={**os.environ, "PYTHONPATH": search_path(), **installation.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        found = json.loads(done.stdout)
        return Audit(done.returncode == 0 and found["ok"], found.get("size", 0), done.stdout)
    except (ValueError, KeyError):
        return Audit(False, 0, (done.stdout + done.stderr)[-2000:])
