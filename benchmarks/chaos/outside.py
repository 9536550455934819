"""The world outside: an airline in a process of its own, which nothing disturbs and which notes every call.

Tools reach it at a Unix socket, so that it stays within reach of a worker whose network is cut. One JSON object a
line; each connection asks one thing. What it performs and what it notes are one step, in one order for all callers.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gatewright.environments.airline import calls, dataset
from gatewright.environments.airline.case import Case
from gatewright.environments.airline.catalogue import CATALOGUE

from .history import KEYLESS, Invocation, Mark

LONGEST_WAY = 1.0  # seconds that a call or its answer is on its way: then callers may die without an answer
LONGEST_STEP = 0.1  # seconds; of one key they come one after the other
PATIENCE = 30.0  # seconds a caller waits for the answer


class _Rows:
    """The rows that one case has changed."""

    def __init__(self) -> None:
        self.values: dict[tuple[str, str], str] = {}

    def fetch(self, table: str, key: str) -> str | None:
        return self.values.get((table, key))


class Airline:
    """What the airline has done for all cases, noted in `record` before anybody is answered."""

    def __init__(self, record: Path) -> None:
        self._record = record.open("ab", buffering=0)
        self._base = dataset.load(dataset.BUILT_IN)
        self._rows: dict[str, _Rows] = {}
        self._results: dict[tuple[str, str], str] = {}
        self._marked: set[str] = set()
        self._number = 0

    def call(self, tool: str, args: dict[str, Any], *, case: str, key: str, run: str, by: str) -> str:
        """Perform a call; one that changes something is performed once for each key, unless the tool knows no keys."""
        rows = self._rows.setdefault(case, _Rows())
        if "reads" in CATALOGUE[tool].labels:
            return calls.perform(Case(self._base, rows), tool, args)
        keyed = "" if tool in KEYLESS else key
        known = self._results.get((case, keyed)) if keyed else None
        if known is None:
            work = Case(self._base, rows)
            given = json.loads(json.dumps(args))  # the rows may keep parts of it
            result = calls.perform(work, tool, given)
            rows.values.update({(change.table, change.key): change.value for change in work.changes()})
            if keyed:
                self._results[case, keyed] = result
        else:
            result = known
        self._number += 1
        noted = Invocation(
            number=self._number,
            tool=tool,
            args=args,
            case=case,
            key=key,
            run=run,
            by=by,
            performed=known is None,
            result=result,
            at=time.time(),
        )
        self._note("call", noted)
        return result

    def mark(self, key: str, sequence: int, *, once: str, by: str) -> None:
        """Note a step of a keyed sequence; under the idempotency key `once` it counts once."""
        new = once not in self._marked
        self._marked.add(once)
        self._number += 1
        self._note("mark", Mark(number=self._number, key=key, sequence=sequence, by=by, performed=new))

    def rows(self, case: str) -> dict[str, str]:
        """What the case has changed, by table and key."""
        found = self._rows.get(case, _Rows()).values
        return {f"{table} {key}": value for (table, key), value in sorted(found.items())}

    def close(self) -> None:
        """Close the record."""
        self._record.close()

    def _note(self, kind: str, noted: Invocation | Mark) -> None:
        self._record.write(json.dumps({"kind": kind, **noted.model_dump()}).encode() + b"\n")


def recorded(record: Path) -> tuple[list[Invocation], list[Mark]]:
    """What has been noted so far."""
    invocations: list[Invocation] = []
    marks: list[Mark] = []
    for line in record.read_text("utf-8").splitlines():
        noted = json.loads(line)
        if noted.pop("kind") == "call":
            invocations.append(Invocation.model_validate(noted))
        else:
            marks.append(Mark.model_validate(noted))
    return invocations, marks


def asked(place: Path, question: Mapping[str, Any]) -> Any:
    """The airline's answer to a question.

    Raises:
        OSError: it cannot be reached.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(str(place))
        connection.sendall(json.dumps(question).encode() + b"\n")
        with connection.makefile("rb") as answers:
            line = answers.readline()
    if not line:
        raise ConnectionError(f"the airline at {str(place)!r} hung up without an answer")
    return json.loads(line)


async def serve(place: Path, record: Path) -> None:
    """Answer until SIGTERM; prints a line when it does."""
    airline = Airline(record)
    ways = random.Random(0)  # only how long they take

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            question = json.loads(await reader.readline())
            writer.write(json.dumps(await _answered(airline, question, ways)).encode() + b"\n")
            await writer.drain()
        except ConnectionError:  # the caller died
            pass
        finally:
            writer.close()

    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    async with await asyncio.start_unix_server(answer, place, limit=1 << 24, backlog=1000):
        print("ready", flush=True)
        await ended.wait()
    airline.close()


async def _answered(airline: Airline, question: dict[str, Any], ways: random.Random) -> Any:
    asks = question.pop("asks")
    if asks == "rows":
        return airline.rows(question["case"])
    if asks == "mark":
        await asyncio.sleep(ways.uniform(0, LONGEST_STEP))
        airline.mark(**question)
        await asyncio.sleep(ways.uniform(0, LONGEST_STEP))
        return None
    if "reads" in CATALOGUE[question["tool"]].labels:
        return airline.call(**question)
    await asyncio.sleep(ways.uniform(0, LONGEST_WAY))
    result = airline.call(**question)
    await asyncio.sleep(ways.uniform(0, LONGEST_WAY))
    return result


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), Path(sys.argv[2])))
