from __future__ import annotations

import datetime
import enum
from typing import Annotated, Any, Literal, NewType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, PositiveInt, create_model

from gatewright.agents.errors import UsageError
from gatewright.runtime.policies.encoding import Encoding


class Channel(enum.Enum):
    PHONE = "phone"
    MAIL = "mail"


Days = NewType("Days", int)


class Claim(BaseModel):
    amount: float = Field(ge=0, le=1000)
    reports: Annotated[int, Field(gt=0)] = Field(lt=6)
    balance: float
    insured: bool
    kind: Literal["car", "home", "travel"]
    channel: Channel | None
    age: Annotated[int, Field(ge=18, le=100)] | None


ROW: dict[str, Any] = {
    "amount": 250,
    "reports": 5,
    "balance": -3.5,
    "insured": True,
    "kind": "travel",
    "channel": "mail",
    "age": None,
}
ENCODING = Encoding.of(Claim)


def test_each_feature_has_its_columns() -> None:
    assert ENCODING.columns == (
        *("amount", "reports", "balance", "insured", "kind=car", "kind=home", "kind=travel"),
        *("channel=phone", "channel=mail", "channel?", "age", "age?"),
    )
    assert ENCODING.groups["kind"] == slice(4, 7)
    assert ENCODING.groups["age"] == slice(10, 12)


def test_features_are_encoded_by_their_types() -> None:
    expected = [-0.5, 1.0, -3.5, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 0.0]
    vector = ENCODING.encode(Claim.model_validate(ROW))
    assert vector.dtype == np.float32
    assert vector.tolist() == expected


def test_limits_of_columns_come_from_bounds() -> None:
    assert ENCODING.low.tolist() == [-1, -1, -np.inf, *[0] * 7, -1, 0]
    assert ENCODING.high.tolist() == [1, 1, np.inf, *[1] * 7, 1, 1]


ROWS = st.builds(
    Claim,
    amount=st.floats(0, 1000),
    reports=st.integers(1, 5),
    balance=st.floats(-1e6, 1e6),
    insured=st.booleans(),
    kind=st.sampled_from(["car", "home", "travel"]),
    channel=st.sampled_from([None, *Channel]),
    age=st.none() | st.integers(18, 100),
)


@given(st.lists(ROWS, max_size=8))
def test_models_and_their_json_are_encoded_alike_alone_and_together(claims: list[Claim]) -> None:
    fitted = ENCODING.fitted(claims)
    alone = [fitted.encode(claim).tolist() for claim in claims]
    assert fitted.encode_many(claims).tolist() == alone
    assert fitted.encode_many([claim.model_dump(mode="json") for claim in claims]).tolist() == alone
    for vector in alone:
        assert (fitted.low <= vector).all() and (vector <= fitted.high).all()


def test_unbounded_numbers_are_normalised_by_what_was_seen() -> None:
    rows = [ROW | {"balance": value} for value in (2.0, 4.0, 6.0)]
    column = ENCODING.fitted(rows).encode_many(rows)[:, 2]
    assert column.mean() == pytest.approx(0)
    assert column.std() == pytest.approx(1)


def test_statistics_do_not_change_the_digest_and_survive_json() -> None:
    fitted = ENCODING.fitted([ROW | {"balance": 1.0}, ROW])
    again = Encoding.model_validate_json(fitted.model_dump_json())
    assert again == fitted
    assert again.digest == ENCODING.digest
    again.check(Claim)


def test_a_changed_feature_model_is_named() -> None:
    changed = create_model("Changed", __base__=Claim, amount=(float, Field(ge=0, le=2000)))
    with pytest.raises(UsageError, match=r"'high': 1000\.0.* was expected, and .*'high': 2000\.0"):
        ENCODING.check(changed)


def test_a_feature_more_is_named() -> None:
    with pytest.raises(UsageError, match=r"no feature was expected, and .*'name': 'late'"):
        ENCODING.check(create_model("More", __base__=Claim, late=(bool, ...)))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"amount": 1000.5}, r"'amount' is 1000\.5; it takes a number from 0 to 1000"),
        ({"balance": float("nan")}, "'balance' is nan"),
        ({"balance": 1e300}, r"'balance' is 1e\+300"),
        ({"amount": "7"}, "'amount' is '7'"),
        ({"insured": None}, "'insured' is None"),
        ({"kind": "boat"}, r"'kind' is 'boat'; it takes one of \['car', 'home', 'travel'\]"),
        ({"age": 7}, "from 18 to 100, or None"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        ENCODING.encode(ROW | change)
    with pytest.raises(UsageError, match=complaint):
        ENCODING.encode_many([ROW, ROW | change])


def test_a_missing_feature_is_named() -> None:
    with pytest.raises(UsageError, match="'kind' is missing"):
        ENCODING.encode_many([{name: value for name, value in ROW.items() if name != "kind"}])


@pytest.mark.parametrize(
    ("annotation", "remedy"),
    [
        (str, "make it a Literal or an Enum"),
        (datetime.datetime, "a number measured from the case"),
        (list[int], "best with bounds"),
        (int | str, "give it one type"),
    ],
)
def test_a_field_without_a_natural_number_is_refused(annotation: Any, remedy: str) -> None:
    with pytest.raises(UsageError, match=f"feature 'odd' of Odd .*{remedy}"):
        Encoding.of(create_model("Odd", odd=(annotation, ...)))


@pytest.mark.parametrize(
    ("annotation", "columns"),
    [
        (PositiveInt, ("x",)),
        (Days, ("x",)),
        (Literal["a", None], ("x=a", "x?")),
        (Literal[1, 2], ("x=1", "x=2")),
        (Annotated[bool | None, "why"], ("x", "x?")),
    ],
)
def test_other_spellings_of_types_are_understood(annotation: Any, columns: tuple[str, ...]) -> None:
    assert Encoding.of(create_model("Other", x=(annotation, ...))).columns == columns


def test_a_model_without_fields_is_refused() -> None:
    with pytest.raises(UsageError, match="has no fields"):
        Encoding.of(create_model("Empty"))
