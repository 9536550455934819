"""Views as answers, and what all resources share: how many are given, and what mistakes look like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import orjson
from fastapi import Query, Response
from pydantic import BaseModel

from .errors import ErrorBody

LARGEST = 2**63 - 1  # what the database can count to

Limit = Annotated[int, Query(ge=1, le=1000)]
Offset = Annotated[int, Query(ge=0, le=LARGEST)]
MISTAKES: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorBody},
    403: {"model": ErrorBody},
    404: {"model": ErrorBody},
    409: {"model": ErrorBody},
    413: {"model": ErrorBody},
    422: {"model": ErrorBody},
    503: {"model": ErrorBody},
}


def one(view: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A view as an answer."""
    return Response(view.__pydantic_serializer__.to_json(view), status, headers, media_type="application/json")


def many(views: Sequence[BaseModel]) -> Response:
    """A page of views as an answer."""
    body = b",".join(view.__pydantic_serializer__.to_json(view) for view in views)
    return Response(b"[" + body + b"]", media_type="application/json")


def plain(value: Any) -> Response:
    """JSON values as an answer."""
    return Response(orjson.dumps(value, default=str), media_type="application/json")
