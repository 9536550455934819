"""What people may fill in when they decide a request: its form, and the check of what they filled in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gatewright.agents.errors import UsageError

from .ballots import ANSWERS, Answer, Request, Vote


def answers(request: Request) -> tuple[Answer, ...]:
    """What people may answer to this request.

    Where several must approve, no single one may say what the result shall be taken to have been.
    """
    found = ANSWERS[request.kind]
    if request.kind == "approval" and request.terms.quorum > 1:
        return tuple(answer for answer in found if answer != "answer")
    return found


def _value_schema(request: Request, answer: Answer) -> dict[str, Any]:
    if answer == "edit":
        inner: dict[str, Any] = {"type": "object", **(request.schema or {})}
    elif request.kind == "approval":
        return {}  # its schema is that of the arguments, an answer is a result
    else:
        inner = dict(request.schema or {})
    if "$id" not in inner and inner:
        inner["$id"] = f"urn:gatewright:{answer}"  # so that `#/$defs/...` in it still means its own
    return inner


def check(request: Request, vote: Vote) -> None:
    """Check that this is a possible answer, and that its value is what may be filled in.

    Raises:
        UsageError: an answer that this request does not take, a rejection without a reason, an edit that is no object,
            or a value that the request's schema does not allow (the message has the path into it).
    """
    if vote.verdict not in answers(request):
        many = f", which {request.terms.quorum} people decide" if request.terms.quorum > 1 else ""
        raise UsageError(
            f"{vote.verdict!r} is no answer to request {request.id!r} ({request.kind}){many}; it takes "
            f"{', '.join(answers(request))}"
        )
    if vote.verdict == "reject" and not vote.reason.strip():
        raise UsageError(f"rejecting request {request.id!r} needs a reason; the agent is told it")
    if vote.verdict == "edit" and not isinstance(vote.value, Mapping):
        raise UsageError(f"editing request {request.id!r} needs the new arguments as an object, got {vote.value!r:.80}")
    if vote.verdict in ("edit", "answer"):
        _validate(request, vote.value, _value_schema(request, vote.verdict))


def _validate(request: Request, value: Any, schema: Mapping[str, Any]) -> None:
    # Imported on first use: half of the import time of this package, and needed only when people edit or answer.
    import jsonschema
    import jsonschema.exceptions
    import referencing
    import referencing.exceptions

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        # An empty registry: a schema cannot make the service fetch an address.
        validator = jsonschema.Draft202012Validator(schema, registry=referencing.Registry())
        error = jsonschema.exceptions.best_match(validator.iter_errors(value))
    except (jsonschema.exceptions.SchemaError, referencing.exceptions.Unresolvable) as broken:
        raise UsageError(f"the schema of request {request.id!r} cannot be used: {broken}") from broken
    if error is not None:
        raise UsageError(f"request {request.id!r} does not allow this value: at {error.json_path}: {error.message}")
