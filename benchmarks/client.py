"""A lean HTTP/1.1 client in a process of its own: what it takes must not be taken from the server's share.

It is told what to measure on its input, one JSON object a line, and answers with one line each.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Self


class Answer(NamedTuple):
    """What the server said."""

    status: int
    body: bytes


class Connection:
    """One connection, kept alive."""

    def __init__(self, reader: StreamReader, writer: StreamWriter, host: str) -> None:
        self._reader = reader
        self._writer = writer
        self._host = host

    @classmethod
    async def open(cls, host: str, port: int) -> Self:
        """Connect."""
        reader, writer = await asyncio.open_connection(host, port)
        return cls(reader, writer, f"{host}:{port}")

    def close(self) -> None:
        """Hang up."""
        self._writer.close()

    def _send(self, path: str, body: bytes) -> None:
        head = (
            f"POST {path} HTTP/1.1\r\nhost: {self._host}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        self._writer.write(head.encode() + body)

    async def _head(self) -> tuple[int, dict[str, str]]:
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = (line.partition(":") for line in lines[1:] if line)
        return int(lines[0].split()[1]), {name.lower(): value.strip() for name, _, value in fields}

    async def post(self, path: str, body: bytes) -> Answer:
        """Send a request and read its whole answer."""
        self._send(path, body)
        status, head = await self._head()
        return Answer(status, await self._reader.readexactly(int(head["content-length"])))

    async def stream(self, path: str, body: bytes, seen: Callable[[bytes], None]) -> int:
        """Send a request and call `seen` with every server-sent event of its answer, to the end; gives the status."""
        self._send(path, body)
        status, head = await self._head()
        assert head.get("transfer-encoding") == "chunked", head
        pending = b""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            pending += (await self._reader.readexactly(size + 2))[:-2]
            *events, pending = pending.split(b"\n\n")
            for event in events:
                seen(event)
        await self._reader.readexactly(2)
        return status


async def _times(host: str, port: int, count: int, at_once: int, work: Any) -> list[float]:
    """What `work` gave each time, with `at_once` connections."""
    left = iter(range(count))
    found: list[float] = []
    connections = [await Connection.open(host, port) for _ in range(at_once)]

    async def use(connection: Connection) -> None:
        for _ in left:
            found.append(await work(connection))

    try:
        async with asyncio.TaskGroup() as group:
            for connection in connections:
                group.create_task(use(connection))
    finally:
        for connection in connections:
            connection.close()
    return found


def _waiting(body: bytes, nodes: int) -> Callable[[Connection], Awaitable[float]]:
    async def work(connection: Connection) -> float:
        began = time.perf_counter()
        answer = await connection.post("/v1/runs/wait", body)
        taken = time.perf_counter() - began
        run = json.loads(answer.body)
        assert answer.status == 200 and run["status"] == "succeeded", answer
        assert len(run["output"]["said"]) == 1 + nodes, run
        return taken * 1000

    return work


def _watching(body: bytes, wanted: bytes) -> Callable[[Connection], Awaitable[float]]:
    """Milliseconds to the first event, of kind `wanted` if that is not empty."""

    async def work(connection: Connection) -> float:
        began = time.perf_counter()
        first: list[float] = []

        def seen(event: bytes) -> None:
            if not first and wanted in event:
                first.append(time.perf_counter() - began)

        status = await connection.stream("/v1/runs/stream", body, seen)
        assert status == 200 and first, status
        return first[0] * 1000

    return work


async def _answer(order: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps({"deployment": order["deployment"], "input": order["input"]}).encode()
    if order["measure"] == "wait":
        work = _waiting(body, order["nodes"])
    else:
        work = _watching(body, order.get("event", "").encode())
    began = time.perf_counter()
    times = await _times(order["host"], order["port"], order["count"], order["at_once"], work)
    return {"times": times, "seconds": time.perf_counter() - began}


def main() -> None:
    """Obey orders until there are no more."""
    with asyncio.Runner() as runner:
        for line in sys.stdin:
            print(json.dumps(runner.run(_answer(json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
    os._exit(0)
