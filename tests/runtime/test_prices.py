"""Prices: the owners' first, then the published ones; unknown is None and never 0."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from tests import needs

from gatewright.agents.errors import UsageError
from gatewright.runtime import config, prices
from gatewright.runtime.config import Config, Price
from gatewright.runtime.prices import OwnPrices, PriceBooks, PublishedPrices, Tokens

OWN = OwnPrices({"house": Price.model_validate({"input": "0.15", "output": "0.6"})})


def test_own_prices_are_exact_and_rounded_up_to_whole_microdollars() -> None:
    assert OWN.cost("house", Tokens(1000, 100)) == 210
    assert OWN.cost("house", Tokens(1, 0)) == 1


def test_a_model_is_found_under_its_name_with_and_without_the_provider() -> None:
    assert OWN.cost("openai:house", Tokens(1000, 0)) == OWN.cost("house", Tokens(1000, 0)) == 150


def test_the_cache_has_prices_of_its_own_or_those_of_other_input() -> None:
    cached = OwnPrices({"m": Price.model_validate({"input": 10, "output": 1, "cache_read": 1, "cache_write": 12})})
    assert cached.cost("m", Tokens(100, 0, cache_read=50, cache_write=20)) == 30 * 10 + 50 + 20 * 12
    assert OWN.cost("house", Tokens(1000, 0, cache_read=900)) == 150


def test_an_unknown_price_is_none_and_a_free_model_costs_nothing() -> None:
    assert OWN.cost("stranger", Tokens(1, 1)) is None
    assert OwnPrices({"free": Price.model_validate({"input": 0, "output": 0})}).cost("free", Tokens(9, 9)) == 0


def test_the_published_prices_know_models_and_do_not_guess() -> None:
    needs.module("genai_prices", "prices")
    published = PublishedPrices()
    known = published.cost("gpt-4o-mini", Tokens(1_000_000, 0))
    assert known is not None and known > 0
    assert published.cost("openai:gpt-4o-mini", Tokens(1_000_000, 0)) == known
    assert published.cost("gpt-4o-mini-2024-07-18", Tokens(1_000_000, 0)) == known
    assert published.cost("my-own-model", Tokens(1, 1)) is None
    assert published.cost("nobody:gpt-4o-mini", Tokens(1, 1)) is None


def test_a_provider_that_counts_the_cache_apart_is_priced_all_the_same() -> None:
    needs.module("genai_prices", "prices")
    assert PublishedPrices().cost("gpt-4o-mini", Tokens(10, 1, cache_read=50)) is not None


def test_without_the_extra_only_own_prices_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        return None

    monkeypatch.setattr("importlib.util.find_spec", absent)
    book = prices.book({"house": Price.model_validate({"input": 1, "output": 1})})
    assert book.cost("house", Tokens(1, 0)) == 1
    assert book.cost("gpt-4o-mini", Tokens(1, 0)) is None


def test_own_prices_come_before_published_ones() -> None:
    first, second = (OwnPrices({"m": Price.model_validate({"input": each, "output": 0})}) for each in (1, 2))
    assert PriceBooks(first, second).cost("m", Tokens(5, 0)) == 5
    assert PriceBooks(OWN, second).cost("m", Tokens(5, 0)) == 10


def test_the_configuration_holds_own_prices(tmp_path: Path) -> None:
    (tmp_path / "gatewright.toml").write_text('[prices."house:v1"]\ninput = 0.1\noutput = 0.3\n', "utf-8")
    loaded = config.load(environ={}, cwd=tmp_path)
    assert prices.book(loaded.prices).cost("house:v1", Tokens(10, 10)) == 4


def test_a_price_below_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gatewright.toml").write_text("[prices.m]\ninput = -1\noutput = 0\n", "utf-8")
    with pytest.raises(UsageError, match=r"'prices.m.input' is -1: input should be greater than or equal to 0"):
        config.load(environ={}, cwd=tmp_path)


def test_the_prices_of_the_page_are_a_configuration() -> None:
    page = Path(__file__).parents[2] / "docs" / "budgets.md"
    (block,) = re.findall(r"```toml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    loaded = Config.model_validate(tomllib.loads(block))
    assert OwnPrices(loaded.prices).cost("gpt-4o-mini", Tokens(1_000_000, 0)) == 150_000
