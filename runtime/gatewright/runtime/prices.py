"""What model calls cost: prices that the owners know, else the published ones; an unknown price is None, never 0."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal
from typing import NamedTuple, Protocol

from .config import Price

MILLION = Decimal(1_000_000)


class Tokens(NamedTuple):
    """The tokens of one call. `cache_read`, `cache_write`: those of the input that went through the cache."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0


class PriceBook(Protocol):
    """Who knows prices. `model` is named as its provider does, or as in `init_chat_model` (`openai:gpt-4o-mini`)."""

    def cost(self, model: str, tokens: Tokens) -> int | None:
        """The cost in micro-dollars, rounded up; None where no price of the model is known."""
        ...


class OwnPrices:
    """The `[prices]` of the configuration."""

    def __init__(self, prices: Mapping[str, Price]) -> None:
        self._prices = prices

    def cost(self, model: str, tokens: Tokens) -> int | None:
        """See `PriceBook.cost`."""
        price = self._prices.get(model) or self._prices.get(model.partition(":")[2])
        if price is None:
            return None
        read = price.input if price.cache_read is None else price.cache_read
        written = price.input if price.cache_write is None else price.cache_write
        plain = max(tokens.input - tokens.cache_read - tokens.cache_write, 0)
        # dollars per million tokens are micro-dollars per token
        return _whole(
            plain * price.input + tokens.cache_read * read + tokens.cache_write * written + tokens.output * price.output
        )


class PublishedPrices:
    """The prices that come with the package genai-prices; nothing is fetched."""

    def __init__(self) -> None:
        self._unknown: set[str] = set()

    def cost(self, model: str, tokens: Tokens) -> int | None:
        """See `PriceBook.cost`."""
        if model in self._unknown:
            return None
        import genai_prices

        usage = genai_prices.Usage(
            input_tokens=max(tokens.input, tokens.cache_read + tokens.cache_write),  # some providers leave them out
            output_tokens=tokens.output,
            cache_read_tokens=tokens.cache_read,
            cache_write_tokens=tokens.cache_write,
        )
        provider, _, name = model.rpartition(":")
        try:
            found = genai_prices.calc_price(usage, name, provider_id=provider or None)
        except LookupError:
            self._unknown.add(model)
            return None
        return _whole(found.total_price * MILLION)


class PriceBooks:
    """Several price books; the first that knows a model answers."""

    def __init__(self, *books: PriceBook) -> None:
        self._books = books

    def cost(self, model: str, tokens: Tokens) -> int | None:
        """See `PriceBook.cost`."""
        return next((cost for book in self._books if (cost := book.cost(model, tokens)) is not None), None)


def _whole(amount: Decimal) -> int:
    return int(amount.to_integral_value(ROUND_CEILING))


def book(own: Mapping[str, Price]) -> PriceBook:
    """The prices of a service: its own, then the published ones where the extra `prices` is installed."""
    published = [PublishedPrices()] if importlib.util.find_spec("genai_prices") is not None else []
    return PriceBooks(OwnPrices(own), *published)
