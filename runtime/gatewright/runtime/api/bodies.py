"""Request bodies: JSON by the strict parser, not by Python's."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from gatewright.runtime import jsontext


class _Request(Request):
    async def json(self) -> Any:
        try:
            return jsontext.parse(await self.body())
        except ValueError as error:
            raise json.JSONDecodeError(str(error), "", 0) from error  # what FastAPI takes for a malformed body


class Route(APIRoute):
    """A route whose JSON bodies hold only what can be stored, signed and shown again."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(_Request(request.scope, request.receive))

        return strict
