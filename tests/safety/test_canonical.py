import dataclasses
import json
import math
import struct
import threading
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from hashlib import sha256
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any, cast
from uuid import UUID

import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, ToolCall
from pydantic import BaseModel, Field, SecretStr
from tests.needs import shared_data

from gatewright.agents.errors import UsageError
from gatewright.safety.canonical import MAX_DEPTH, JsonValue, canonical, digest, json_value, said

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no timing is asserted

# The edge cases that begin the published ES6 number sequence, as IEEE 754 bits, and the published SHA-256 of its
# first 10,000 lines: cyberphone/json-canonicalization, testdata/README.md (Apache-2.0, copyright WebPKI.org).
ES6_EDGE_CASES = """
0000000000000000 8000000000000000 0000000000000001 8000000000000001 c46696695dbd1cc3 c43211ede4974a35
c3fce97ca0f21056 c3c7213080c1a6ac c39280f39a348556 c35d9b1f5d20d557 c327af4c4a80aaac c2f2f2a36ecd5556
c2be51057e155558 c28840d131aaaaac c253670dc1555557 c21f0b4935555557 c1e8d5d42aaaaaac c1b3de4355555556
c17fca0555555556 c1496e6aaaaaaaab c114585555555555 c0e046aaaaaaaaab c0aa0aaaaaaaaaaa c074d55555555555
c040aaaaaaaaaaab c00aaaaaaaaaaaab bfd5555555555555 bfa1111111111111 bf6b4e81b4e81b4f bf35d867c3ece2a5
bf0179ec9cbd821e becbf647612f3696 be965e9f80f29212 be61e54c672874db be2ca213d840baf8 bdf6e80fe033c8c6
bdc2533fe68fd3d2 bd8d51ffd74c861c bd5774ccac3d3817 bd22c3d6f030f9ac bcee0624b3818f79 bcb804ea293472c7
bc833721ba905bd3 bc4ebe9c5db3c61e bc18987d17c304e5 bbe3ad30dfcf371d bbaf7b816618582f bb792f9ab81379bf
bb442615600f9499 bb101e77800c76e1 bad9ca58cce0be35 baa4a1e0a3e6fe90 ba708180831f320d ba3a68cd9e985016
446696695dbd1cc3 443211ede4974a35 43fce97ca0f21056 43c7213080c1a6ac 439280f39a348556 435d9b1f5d20d557
4327af4c4a80aaac 42f2f2a36ecd5556 42be51057e155558 428840d131aaaaac 4253670dc1555557 421f0b4935555557
41e8d5d42aaaaaac 41b3de4355555556 417fca0555555556 41496e6aaaaaaaab 4114585555555555 40e046aaaaaaaaab
40aa0aaaaaaaaaaa 4074d55555555555 4040aaaaaaaaaaab 400aaaaaaaaaaaab 3fd5555555555555 3fa1111111111111
3f6b4e81b4e81b4f 3f35d867c3ece2a5 3f0179ec9cbd821e 3ecbf647612f3696 3e965e9f80f29212 3e61e54c672874db
3e2ca213d840baf8 3df6e80fe033c8c6 3dc2533fe68fd3d2 3d8d51ffd74c861c 3d5774ccac3d3817 3d22c3d6f030f9ac
3cee0624b3818f79 3cb804ea293472c7 3c833721ba905bd3 3c4ebe9c5db3c61e 3c18987d17c304e5 3be3ad30dfcf371d
3baf7b816618582f 3b792f9ab81379bf 3b442615600f9499 3b101e77800c76e1 3ad9ca58cce0be35 3aa4a1e0a3e6fe90
3a708180831f320d 3a3a68cd9e985016 4024000000000000 4014000000000000 3fe0000000000000 3fa999999999999a
3f747ae147ae147b 3f40624dd2f1a9fc 3f0a36e2eb1c432d 3ed4f8b588e368f1 3ea0c6f7a0b5ed8d 3e6ad7f29abcaf48
3e35798ee2308c3a 3ed539223589fa95 3ed4ff26cd5a7781 3ed4f95a762283ff 3ed4f8c60703520c 3ed4f8b72f19cd0d
3ed4f8b5b31c0c8d 3ed4f8b58d1c461a 3ed4f8b5894f7f0e 3ed4f8b588ee37f3 3ed4f8b588e47da4 3ed4f8b588e3849c
3ed4f8b588e36bb5 3ed4f8b588e36937 3ed4f8b588e368f8 3ed4f8b588e368f1 3ff0000000000000 bff0000000000000
bfeffffffffffffa bfeffffffffffffb 3feffffffffffffa 3feffffffffffffb 3feffffffffffffc 3feffffffffffffe
bfefffffffffffff bfefffffffffffff 3fefffffffffffff 3fefffffffffffff 3fd3333333333332 3fd3333333333333
3fd3333333333334 0010000000000000 000ffffffffffffd 000fffffffffffff 7fefffffffffffff ffefffffffffffff
4340000000000000 c340000000000000 4430000000000000 44b52d02c7e14af5 44b52d02c7e14af6 44b52d02c7e14af7
444b1ae4d6e2ef4e 444b1ae4d6e2ef4f 444b1ae4d6e2ef50 3eb0c6f7a0b5ed8c 3eb0c6f7a0b5ed8d 41b3de4355555553
41b3de4355555554 41b3de4355555555 41b3de4355555556 41b3de4355555557 becbf647612f3696 43143ff3c1cb0959
"""
ES6_CHECKSUM = "b9f7a8e75ef22a835685a52ccba7f7d6bdc99e34b010992cbc5864cd12be6892"
ES6_LINES = 10_000

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
)
PYTHON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.dates()
    | st.uuids(),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
        | st.dictionaries(st.sampled_from(["$int", "$tuple", "$map"]), inner, max_size=1)
    ),
    max_leaves=8,
)


def es6_numbers() -> Iterator[float]:
    """The published sequence: edge cases, 2,000 neighbours of the smallest normal number, then SHA-256 as noise."""
    for bits in [*(int(word, 16) for word in ES6_EDGE_CASES.split()), *(2**52 + step for step in range(2000))]:
        yield struct.unpack(">d", bits.to_bytes(8, "big"))[0]
    block = bytes(32)
    while True:
        block = sha256(block).digest()
        yield from (number for number in struct.unpack("<4d", block) if number != 0 and math.isfinite(number))


def same(left: object, right: object) -> bool:
    """Equal, and of the same types all the way down; numbers count as one type, as they do in JSON."""
    numbers = (int, float)
    if type(left) in numbers and type(right) in numbers:
        return left == right
    if type(left) is not type(right):
        return False
    if isinstance(left, (list, tuple)):
        others = cast("list[object]", right)
        entries = cast("list[object]", left)
        return len(entries) == len(others) and all(map(same, entries, others))
    if isinstance(left, dict):
        mine, other = cast("dict[object, object]", left), cast("dict[object, object]", right)
        return mine.keys() == other.keys() and all(same(mine[key], other[key]) for key in mine)
    if isinstance(left, Decimal):
        return str(left) == str(right)
    return left == right


def test_the_published_files_are_spelled_as_published() -> None:
    folder = shared_data("jcs")
    sources = sorted((folder / "input").iterdir())
    assert len(sources) == 6
    for source in sources:
        value = json.loads(source.read_text("utf-8"))
        assert canonical(value) == (folder / "output" / source.name).read_bytes().rstrip(b"\n"), source.name
        expected = bytes.fromhex((folder / "outhex" / source.name).with_suffix(".txt").read_text())
        assert canonical(value) == expected, source.name


def test_the_published_numbers_are_spelled_as_published() -> None:
    lines = sha256()
    for _, number in zip(range(ES6_LINES), es6_numbers(), strict=False):
        bits = int.from_bytes(struct.pack(">d", number), "big")
        lines.update(b"%x,%s\n" % (bits, canonical(number)))
    assert lines.hexdigest() == ES6_CHECKSUM


@PATIENT
@given(JSON)
def test_the_fast_path_spells_as_the_reference_does(value: JsonValue) -> None:
    assert canonical(value) == rfc8785.dumps(cast("Any", value))


@PATIENT
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_is_spelled_as_the_reference_does(value: float) -> None:
    assert canonical([value]) == rfc8785.dumps([value])


@pytest.mark.parametrize(
    ("value", "spelling"),
    [(1.0, b"1"), (-0.0, b"0"), (1e-07, b"1e-7"), (1e21, b"1e+21"), (1e16, b"10000000000000000"), (0.1, b"0.1")],
)
def test_floats_are_spelled_as_javascript_does(value: float, spelling: bytes) -> None:
    assert canonical(value) == spelling


def test_every_control_character_is_spelled_as_the_reference_does() -> None:
    for code in range(0x100):
        assert canonical(chr(code)) == rfc8785.dumps(chr(code))


def test_keys_are_sorted_by_utf_16_units() -> None:
    assert canonical({"\ufb33": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\ufb33":1}'.encode()


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, [-math.inf], 2**53, {"n": -(2**53)}, "\ud800", {"\ud800": 1}, {1: 2}, b"", {"x": UUID(int=1)}],
    ids=repr,
)
def test_what_jcs_cannot_say_is_refused_with_the_remedy(value: Any) -> None:
    with pytest.raises(UsageError, match="json_value"):
        canonical(value)
    canonical(json_value(value))


def test_a_value_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    for refuse in (canonical, json_value):
        with pytest.raises(UsageError, match=f"more than {MAX_DEPTH} levels"):
            refuse(endless)
    tangled: list[Any] = [(1,)]
    tangled.append((tangled,))
    with pytest.raises(UsageError, match="contains itself"):
        json_value(tangled)


def test_the_deepest_value_that_is_allowed_is_spelled() -> None:
    value: JsonValue = 1
    for _ in range(MAX_DEPTH):
        value = [value]
    assert canonical(json_value(value)) == b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [2.0]}) == digest({"b": [2], "a": 1}) == sha256(b'{"a":1,"b":[2]}').hexdigest()


@PATIENT
@given(JSON.filter(lambda value: not isinstance(value, dict)))
def test_plain_json_is_said_as_it_is(value: JsonValue) -> None:
    wrapped = {"args": value, "name": "x"}
    said = json_value(wrapped)
    if "$" not in str(value):
        assert said is wrapped


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


class Seat(BaseModel):
    row: int
    price: Decimal
    note: str = Field(default="internal", exclude=True)
    code: SecretStr = SecretStr("s3cret")


@dataclasses.dataclass
class Point:
    x: int
    tags: set[str]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ((1, "a"), {"$tuple": [1, "a"]}),
        ({3, 1, 2}, {"$set": [1, 2, 3]}),
        (b"\x00\xff", {"$bytes": "AP8="}),
        (2**60, {"$int": "1152921504606846976"}),
        (math.nan, {"$float": "nan"}),
        (-math.inf, {"$float": "-inf"}),
        (Decimal("1.50"), {"$decimal": "1.50"}),
        (Fraction(1, 3), {"$fraction": "1/3"}),
        (datetime(2026, 8, 19, 12, tzinfo=UTC), {"$datetime": "2026-08-19T12:00:00+00:00"}),
        (date(2026, 8, 19), {"$date": "2026-08-19"}),
        (time(12, 30), {"$time": "12:30:00"}),
        (timedelta(days=1, seconds=2), {"$timedelta": [1, 2, 0]}),
        (UUID(int=1), {"$uuid": "00000000-0000-0000-0000-000000000001"}),
        (PurePosixPath("/a/b"), {"$path": "/a/b"}),
        (Colour.RED, {"$enum": [f"{__name__}.Colour", "red"]}),
        (Level.HIGH, {"$enum": [f"{__name__}.Level", 3]}),
        ({2: "b", 1: "a"}, {"$map": [[1, "a"], [2, "b"]]}),
        ({"$int": "5"}, {"$map": [["$int", "5"]]}),
        ({"$int": "5", "other": 1}, {"$int": "5", "other": 1}),
        (MappingProxyType({"a": 1}), {"a": 1}),
        ("\ud800", {"$str": b64encode(b"\xed\xa0\x80").decode()}),
        pytest.param(
            Point(1, {"b", "a"}),
            {"$object": [f"{__name__}.Point", {"x": 1, "tags": {"$set": ["a", "b"]}}]},
            id="the same in every process",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_json_cannot_say_is_said_with_a_tag(value: object, said: JsonValue) -> None:
    assert json_value(value) == said
    assert json_value([value, 1]) == [said, 1]
    canonical(json_value(value))


def test_a_model_is_said_with_its_class_without_excluded_fields_or_secrets() -> None:
    said = json_value(Seat(row=3, price=Decimal("9.90")))

    secret = {"$repr": ["pydantic.types.SecretStr", "SecretStr('**********')"]}
    assert said == {"$object": [f"{__name__}.Seat", {"row": 3, "price": {"$decimal": "9.90"}, "code": secret}]}


def test_langchain_messages_are_told_apart_by_all_that_they_carry() -> None:
    plain = AIMessage("yes", id="1")
    calling = AIMessage("yes", id="1", tool_calls=[ToolCall(name="cancel", args={"id": "X"}, id="c1")])

    digests = {digest(json_value(message)) for message in (plain, calling, HumanMessage("yes", id="1"))}
    assert len(digests) == 3
    assert digest(json_value(calling)) == digest(json_value(calling.model_copy(deep=True)))


def test_an_unknown_object_is_said_without_its_address() -> None:
    class Client:
        pass

    class Loud:
        def __repr__(self) -> str:
            return f"<Loud {id(self)} {id(self):#x}>"

    for make in (Client, Loud, threading.Lock):
        first, second = make(), make()
        assert digest(json_value([first])) == digest(json_value([second]))
        assert f"{id(first):x}" not in canonical(json_value(first)).decode()


def test_an_object_that_cannot_be_printed_is_said_all_the_same() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    assert "unprintable: RuntimeError" in canonical(json_value(Broken())).decode()


def test_arrays_are_said_whole_whatever_their_repr_leaves_out() -> None:
    class Array:
        """Looks like NumPy's: three attributes of the class."""

        dtype = "float64"
        shape = (2,)

        def __init__(self, *entries: float) -> None:
            self.entries = list(entries)

        def __repr__(self) -> str:
            return "array(...)"

        def tolist(self) -> list[float]:
            return self.entries

    assert json_value(Array(1, 2)) == {"$array": ["float64", [2], [1, 2]]}
    assert digest(json_value(Array(1, 2))) != digest(json_value(Array(1, 3)))


@PATIENT
@given(PYTHON, PYTHON)
def test_different_values_are_said_differently_and_equal_ones_alike(left: object, right: object) -> None:
    assert (digest(json_value(left)) == digest(json_value(right))) == same(left, right)


@PATIENT
@given(PYTHON)
def test_what_was_said_is_never_mistaken_for_the_value(value: object) -> None:
    said = json_value(value)
    assert same(said, value) or digest(json_value(said)) != digest(said)


@PATIENT
@given(PYTHON)
def test_a_value_and_its_bytes_come_in_one_look_as_they_do_in_two(value: Any) -> None:
    plain = json_value(value)

    assert said(value) == (plain, canonical(plain))


def test_levels_around_a_value_count_towards_its_depth() -> None:
    deep: Any = []
    for _ in range(MAX_DEPTH - 1):
        deep = [deep]

    assert said(deep).value == deep
    with pytest.raises(UsageError, match="128 levels"):
        said(deep, within=1)
