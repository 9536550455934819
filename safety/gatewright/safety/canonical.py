"""One spelling for every value: what is hashed, approved and compared is bytes, and equal values give equal bytes.

Two steps, kept apart on purpose. `json_value` says in JSON what agents pass around, without losing a distinction.
`canonical` spells JSON as RFC 8785 (JCS) does, so that anyone can regenerate the bytes in any language.
"""

from __future__ import annotations

import dataclasses
import math
import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from hashlib import sha256
from pathlib import PurePath
from typing import Any, NamedTuple, TypeAlias, cast
from uuid import UUID

import orjson
import rfc8785
from pydantic import BaseModel

from gatewright.agents.errors import UsageError

JsonValue: TypeAlias = "None | bool | int | float | str | Sequence[JsonValue] | Mapping[str, JsonValue]"

MAX_INTEGER = 2**53 - 1  # RFC 8785, section 3.2.2.3: beyond it JSON readers round
MAX_DEPTH = 128  # levels of nesting; readers in other languages have limits of their own

# orjson and JCS spell non-whole floats alike in this range: shortest digits, no exponent.
_PLAIN_FLOATS = (1e-4, 1e15)

# What `_traits` finds, to be combined.
_FLOATS = 1  # floats that orjson would spell in its own way
_KEYS = 2  # keys beyond ASCII: orjson sorts by code point, JCS by UTF-16 unit
_RESERVED = 4  # an object that could be mistaken for one of `json_value`'s tags
_FOREIGN = 8  # not JSON, or JSON that only a subclass spells

_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER

_ADDRESS = re.compile(r"\bat 0x[0-9A-Fa-f]+")


def canonical(value: JsonValue) -> bytes:
    """The RFC 8785 (JCS) bytes of a JSON value; equal values give equal bytes, and 1.0 is 1.

    Raises:
        UsageError: the value holds what JCS cannot say: NaN, an infinity, an integer beyond 2**53 - 1, a lone
            surrogate, a key that is no string, a type that is not JSON, or more than 128 levels. `json_value` says
            all of these but the last.
    """
    return _written(value, _traits(value, 0))


def _written(value: JsonValue, traits: int) -> bytes:
    """The RFC 8785 bytes of a value with these traits."""
    try:
        if not traits & ~_RESERVED:
            return orjson.dumps(value, option=_OPTIONS)
        if not traits & (_KEYS | _FOREIGN):
            return orjson.dumps(_respelled(value), option=_OPTIONS)
    except orjson.JSONEncodeError:
        pass  # too large or not UTF-8: the slower path says which
    try:
        return rfc8785.dumps(cast("Any", value))
    except RecursionError as error:
        raise UsageError(
            f"a value is nested more than {MAX_DEPTH} levels deep, or contains itself; flatten it"
        ) from error
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise UsageError(f"cannot be written as canonical JSON: {error}; convert it with `json_value`") from error


def digest(value: JsonValue) -> str:
    """The SHA-256 of the canonical bytes, 64 hexadecimal digits.

    Raises:
        UsageError: as `canonical`.
    """
    return sha256(canonical(value)).hexdigest()


def json_value(value: object) -> JsonValue:
    """Say any value in JSON that `canonical` accepts, so that different values stay different.

    Plain JSON stays as it is (the very object may be returned; do not change it). What JSON cannot say becomes an
    object with one tag: `{"$int": "9007199254740992"}`, `{"$float": "nan"}`, `{"$tuple": [...]}`, `{"$set": [...]}`
    (sorted), `{"$bytes": base64}`, `{"$datetime": ISO 8601}`, `{"$decimal": "1.50"}`, `{"$map": [[key, value], ...]}`
    for keys that are no strings, `{"$object": [class, fields]}` for dataclasses and pydantic models (LangChain's
    messages too). An object of the user's that looks like a tag is itself written as `{"$map": ...}`.

    Numbers and collections that Python holds equal may become one (1 and 1.0; set and frozenset). Objects of unknown
    classes become `{"$repr": [class, repr]}`, without memory addresses: they are told apart as far as their `repr`
    does.

    Raises:
        UsageError: more than 128 levels, or a value that contains itself.
    """
    if not _traits(value, 0) & (_RESERVED | _FOREIGN):
        return cast("JsonValue", value)
    return _tagged(value, 0)


class Said(NamedTuple):
    """A value in JSON, with its canonical bytes."""

    value: JsonValue
    data: bytes


def said(value: object, *, within: int = 0) -> Said:
    """`json_value` of a value and `canonical` of that, for less than both: the value is looked through once.

    Args:
        within: levels of nesting around it, which count towards the limit.

    Raises:
        UsageError: as they do.
    """
    traits = _traits(value, within)
    if traits & (_RESERVED | _FOREIGN):
        plain = _tagged(value, within)
        return Said(plain, canonical(plain))
    plain = cast("JsonValue", value)
    return Said(plain, _written(plain, traits))


def _deeper(depth: int) -> int:
    if depth >= MAX_DEPTH:
        raise UsageError(f"a value is nested more than {MAX_DEPTH} levels deep, or contains itself; flatten it")
    return depth + 1


def _text_traits(text: str) -> int:
    if text.isascii():
        return 0
    try:
        text.encode()
    except UnicodeEncodeError:
        return _FOREIGN
    return 0


def _traits(value: object, depth: int) -> int:
    """What stands between this value and orjson's spelling of it. On the hot path of every effect."""
    kind = type(value)
    if kind is str:
        return _text_traits(cast("str", value))
    if value is None or kind is bool:
        return 0
    if kind is int:
        return 0 if -MAX_INTEGER <= cast("int", value) <= MAX_INTEGER else _FOREIGN
    if kind is float:
        number = cast("float", value)
        if not math.isfinite(number):
            return _FOREIGN
        low, high = _PLAIN_FLOATS
        return 0 if low <= abs(number) < high and not number.is_integer() else _FLOATS
    found = 0
    if kind is dict:
        depth = _deeper(depth)
        entries = cast("dict[object, object]", value)
        for key, entry in entries.items():
            if type(key) is not str:
                return _FOREIGN
            if not key.isascii():
                found |= _KEYS | _text_traits(key)
            found |= _traits(entry, depth)
        if len(entries) == 1 and cast("str", next(iter(entries)))[:1] == "$":
            found |= _RESERVED
        return found
    if kind is list:
        depth = _deeper(depth)
        for entry in cast("list[object]", value):
            found |= _traits(entry, depth)
        return found
    return _FOREIGN


def _respelled(value: Any) -> Any:
    """A copy whose floats orjson will spell as JCS does. Only for values without foreign parts."""
    kind = type(value)
    if kind is float:
        if value.is_integer() and abs(value) <= MAX_INTEGER:
            return int(value)
        return orjson.Fragment(rfc8785.dumps(value))
    if kind is dict:
        return {key: _respelled(entry) for key, entry in value.items()}
    if kind is list:
        return [_respelled(entry) for entry in value]
    return value


def _class_name(value: object) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def _tagged(value: object, depth: int) -> JsonValue:
    kind = type(value)
    if value is None or kind is bool:
        return cast("bool | None", value)
    scalar = _SCALARS.get(kind)
    if scalar is not None:
        return scalar(value)
    depth = _deeper(depth)
    if kind is list:
        return [_tagged(entry, depth) for entry in cast("list[object]", value)]
    if isinstance(value, Mapping):
        return _tagged_mapping(cast("Mapping[object, object]", value), depth)
    if isinstance(value, Enum):  # before str and int, which members may also be
        return {"$enum": [_class_name(value), _tagged(cast("object", value.value), depth)]}
    if isinstance(value, tuple):
        return {"$tuple": [_tagged(entry, depth) for entry in cast("tuple[object, ...]", value)]}
    if isinstance(value, list):
        return [_tagged(entry, depth) for entry in cast("list[object]", value)]
    if isinstance(value, AbstractSet):
        entries = [_tagged(entry, depth) for entry in cast("AbstractSet[object]", value)]
        return {"$set": sorted(entries, key=canonical)}
    for base, say in _SCALARS.items():
        if isinstance(value, base):
            return say(value)
    if isinstance(value, BaseModel):
        hidden = {name for name, field in type(value).model_fields.items() if field.exclude}
        fields: dict[object, object] = {name: entry for name, entry in value if name not in hidden}
        return {"$object": [_class_name(value), _tagged_mapping(fields, depth)]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)}
        return {"$object": [_class_name(value), _tagged_mapping(fields, depth)]}
    if all(hasattr(kind, name) for name in ("dtype", "shape", "tolist")):  # NumPy and PyTorch, without importing them
        array = cast("Any", value)
        return {"$array": [str(array.dtype), _tagged(list(array.shape), depth), _tagged(array.tolist(), depth)]}
    return {"$repr": [_class_name(value), _representation(value)]}


def _tagged_mapping(entries: Mapping[object, object], depth: int) -> JsonValue:
    plain = {key: _tagged(entry, depth) for key, entry in entries.items() if type(key) is str and _said(key)}
    reserved = len(plain) == 1 and next(iter(plain))[:1] == "$"
    if len(plain) == len(entries) and not reserved:
        return plain
    pairs: list[JsonValue] = [[_tagged(key, depth), _tagged(entry, depth)] for key, entry in entries.items()]
    return {"$map": sorted(pairs, key=canonical)}


def _said(text: str) -> bool:
    return not _text_traits(text)


def _integer(value: Any) -> JsonValue:
    number = int(value)
    return number if -MAX_INTEGER <= number <= MAX_INTEGER else {"$int": str(number)}


def _real(value: Any) -> JsonValue:
    number = float(value)
    return number if math.isfinite(number) else {"$float": str(number)}


def _text(value: Any) -> JsonValue:
    text = str.__str__(value)
    return text if _said(text) else {"$str": b64encode(text.encode("utf-8", "surrogatepass")).decode()}


def _binary(value: Any) -> JsonValue:
    return {"$bytes": b64encode(bytes(value)).decode()}


def _span(value: timedelta) -> JsonValue:
    return {"$timedelta": [value.days, value.seconds, value.microseconds]}


# In the order in which a subclass is looked for: datetime is a date.
_SCALARS: dict[type, Callable[[Any], JsonValue]] = {
    str: _text,
    int: _integer,
    float: _real,
    bytes: _binary,
    bytearray: _binary,
    memoryview: _binary,
    datetime: lambda value: {"$datetime": value.isoformat()},
    date: lambda value: {"$date": value.isoformat()},
    time: lambda value: {"$time": value.isoformat()},
    timedelta: _span,
    Decimal: lambda value: {"$decimal": str(value)},
    Fraction: lambda value: {"$fraction": str(value)},
    UUID: lambda value: {"$uuid": str(value)},
    PurePath: lambda value: {"$path": str(value)},
}


def _representation(value: object) -> str:
    try:
        text = repr(value)
    except Exception as error:  # whatever a stranger's __repr__ raises
        return f"unprintable: {type(error).__name__}"
    address = id(value)
    text = _ADDRESS.sub("at 0x", text).replace(hex(address), "0x").replace(str(address), "")
    return text.encode("utf-8", "backslashreplace").decode()
