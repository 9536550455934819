"""HTML forms from JSON schemas, and the values that come back from them.

An object becomes one field for each property; anything else becomes one field. What HTML has no control for (lists,
nested objects) is edited as JSON text. The schema is the judge of the result, not the form.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from gatewright.runtime import jsontext

PREFIX = "value"
LONG_TEXT = 60  # characters; longer values get a text area

Control = Literal["text", "area", "number", "choice", "json"]


class Field(NamedTuple):
    """One control. `text` is what it shows; `options` are the JSON texts of a choice with their labels."""

    name: str
    label: str
    control: Control
    text: str
    required: bool = False
    hint: str = ""
    options: Sequence[tuple[str, str]] = ()
    step: str = "any"


class Reading(NamedTuple):
    """What came back: the value, and what is wrong with it, by field name ("" where no field is to blame)."""

    value: Any
    errors: dict[str, str]


def fields(schema: Mapping[str, Any], value: Any = None) -> list[Field]:
    """The controls of a form for `schema`, showing `value`."""
    properties = _properties(schema)
    if properties is None:
        return [_field(PREFIX, _title(schema, "Answer"), schema, value, required=True)]
    required = schema.get("required", ())
    shown = cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
    return [
        _field(f"{PREFIX}.{name}", _title(inner, name), inner, shown.get(name), required=name in required)
        for name, inner in properties.items()
    ]


def read(schema: Mapping[str, Any], sent: Mapping[str, str]) -> Reading:
    """The value that a submitted form stands for. An optional field that was left empty is left out."""
    errors: dict[str, str] = {}
    properties = _properties(schema)
    value: Any
    if properties is None:
        value = _parse(PREFIX, schema, sent.get(PREFIX, ""), errors)
    else:
        value = {}
        for name, inner in properties.items():
            text = sent.get(f"{PREFIX}.{name}", "")
            if text.strip() or (name in schema.get("required", ()) and _type(inner) == "string"):
                value[name] = _parse(f"{PREFIX}.{name}", inner, text, errors)
    return Reading(value, errors or _check(schema, value))


def echo(form: Sequence[Field], sent: Mapping[str, str]) -> list[Field]:
    """The form as it was sent, so that a mistake costs nobody their typing."""
    return [field._replace(text=sent.get(field.name, field.text)) for field in form]


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]] | None:
    return schema.get("properties") or None


def _title(schema: Mapping[str, Any], fallback: str) -> str:
    return str(schema.get("title") or fallback)


def _type(schema: Mapping[str, Any]) -> str:
    """The one type that a schema allows beside null, or "" where it is not as simple as that."""
    kind = schema.get("type")
    if kind is None and "anyOf" in schema:
        kinds = [_type(choice) for choice in schema["anyOf"] if choice.get("type") != "null"]
        return kinds[0] if len(kinds) == 1 else ""
    if isinstance(kind, list):
        kinds = [str(item) for item in kind if item != "null"]
        return kinds[0] if len(kinds) == 1 else ""
    return str(kind or "")


def _field(name: str, label: str, schema: Mapping[str, Any], value: Any, *, required: bool) -> Field:
    hint = str(schema.get("description", ""))
    kind = _type(schema)
    choices = cast("Sequence[Any]", schema.get("enum") or ((True, False) if kind == "boolean" else ()))
    if value is None:
        value = schema.get("default")
    if choices:
        options = [(json.dumps(choice), _label(choice)) for choice in choices]
        return Field(name, label, "choice", "" if value is None else json.dumps(value), required, hint, options)
    if kind in ("integer", "number"):
        step = "1" if kind == "integer" else "any"
        return Field(name, label, "number", "" if value is None else json.dumps(value), required, hint, step=step)
    if kind == "string":
        text = "" if value is None else str(value)
        return Field(name, label, "area" if len(text) > LONG_TEXT or "\n" in text else "text", text, required, hint)
    return Field(name, label, "json", "" if value is None else json.dumps(value, indent=2), required, hint)


def _label(choice: Any) -> str:
    if isinstance(choice, bool):
        return "yes" if choice else "no"
    return choice if isinstance(choice, str) else json.dumps(choice)


def _parse(name: str, schema: Mapping[str, Any], text: str, errors: dict[str, str]) -> Any:
    if _type(schema) == "string" and "enum" not in schema:
        return text.replace("\r\n", "\n")
    if not text.strip():
        errors[name] = "is needed"
        return None
    try:
        return jsontext.parse(text)
    except ValueError as error:
        errors[name] = f"is not JSON: {error}"
        return None


def _check(schema: Mapping[str, Any], value: Any) -> dict[str, str]:
    plain = dict(schema)
    kind: type[Validator] = validator_for(plain, default=Draft202012Validator)
    try:
        kind.check_schema(plain)
        # An empty registry: a schema cannot make the service fetch an address.
        found: list[ValidationError] = list(kind(plain, registry=Registry()).iter_errors(value))
    except (SchemaError, Unresolvable) as error:
        return {"": f"the form's own schema is broken: {error}"}
    return {
        ".".join([PREFIX, *map(str, error.absolute_path)][:2]) if error.absolute_path else "": error.message
        for error in found
    }
