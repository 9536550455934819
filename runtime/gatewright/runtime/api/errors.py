"""Errors as answers: `{"error": {"type", "message"}}` and a status by the class of the error."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from gatewright.agents.errors import (
    ConflictError,
    DeniedError,
    GatewrightError,
    LimitError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from gatewright.safety.approvals.entitlement import NotEntitledError

STATUSES: tuple[tuple[type[GatewrightError], int], ...] = (
    (NotFoundError, 404),  # before UsageError, which these two are kinds of
    (NotEntitledError, 403),
    (UsageError, 422),
    (ConflictError, 409),
    (DeniedError, 403),
    (LimitError, 429),
    (UnavailableError, 503),
)


class ErrorDetail(BaseModel):
    """The class of the error and what to do about it."""

    type: str
    message: str


class ErrorBody(BaseModel):
    """Every answer with a status of 400 or more."""

    error: ErrorDetail


def status_of(error: GatewrightError) -> int:
    """The HTTP status that tells a client how to react."""
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)


def answer(status: int, type: str, message: str, headers: dict[str, str] | None = None) -> Response:
    """An error as it is answered everywhere."""
    body = orjson.dumps({"error": {"type": type, "message": message}})
    return Response(body, status, headers, media_type="application/json")


def install(app: FastAPI) -> None:
    """Make `app` answer every error in the one form."""

    def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, GatewrightError)
        headers = {"retry-after": "1"} if isinstance(error, UnavailableError) else None
        return answer(status_of(error), type(error).__name__, str(error), headers)

    def malformed(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return answer(422, "UsageError", "; ".join(_explain(detail) for detail in error.errors()))

    def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        kind = "NotFoundError" if error.status_code == 404 else "UsageError"
        message = f"{request.method} {request.url.path}: {error.detail}"
        return answer(error.status_code, kind, message, dict(error.headers or {}))

    def unexpected(request: Request, error: Exception) -> Response:
        # The text of an unforeseen exception may hold anything, so it goes to the log and not to the caller.
        message = f"{type(error).__name__}; the service's log has the details"
        return answer(500, "InternalError", message)

    app.add_exception_handler(GatewrightError, known)
    app.add_exception_handler(RequestValidationError, malformed)
    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(Exception, unexpected)


def _explain(detail: dict[str, Any]) -> str:
    if detail["type"] == "json_invalid":
        return f"the body is not valid JSON: {detail.get('ctx', {}).get('error', '')}"
    if detail["loc"] == ("body",) and detail["type"] in ("model_attributes_type", "missing"):
        return "the body must be a JSON object, sent with `content-type: application/json`"
    place = ".".join(str(part) for part in detail["loc"])
    return f"{place}: {detail['msg'][:1].lower()}{detail['msg'][1:]}"
