"""Where a value comes from: what people said, what trusted tools answered, and what was a whole field of any result.

It approximates a data flow through the model by comparing literals: an argument that nobody named and no trusted source
holds was made up, or comes from a text that a stranger may have written. Paraphrased and encoded data are not followed.
"""

from __future__ import annotations

import bisect
import threading
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from gatewright.agents.errors import UsageError
from gatewright.safety import canonical

from . import events, literals, tools

if TYPE_CHECKING:
    from .events import Past
    from .tools import Tool

Source = Literal["user", "trusted", "field", ""]
"""`user`: people said it · `trusted`: a trusted tool answered it · `field`: it is a whole field of a result · empty:
nothing known says it."""

Need = Literal["values", "calls", "repeats"]
"""`values`: where values come from, and whether untrusted results were read · `calls`: when which effects were made ·
`repeats`: how often the very same call was made."""

TEXT_LIMIT = 1_000_000  # characters of texts, of each kind of source, that one index holds
FIELD_LIMIT = 100_000  # fields that one index holds
FIELD_LENGTH = 1_000  # characters of a field: a longer one is content, and refers to nothing
CALL_LIMIT = 10_000  # times of effects of one name
_MOST_PLACES = 1_000  # where the rarest token of a phrase is looked up; a phrase of commoner ones counts as unknown

_PERFORMS = frozenset({"tool", "function"})


class Leaf(NamedTuple):
    """A scalar within a value. `path` leads to it: `recipients[0].email`; `names` are the keys on it."""

    path: str
    names: tuple[str, ...]
    value: Any


def leaves(value: Any, path: str = "") -> Iterator[Leaf]:
    """The texts and numbers in a JSON value, also those that are keys of objects and lead somewhere, in order."""
    stack: list[tuple[str, tuple[str, ...], Any]] = [(path, (path,) if path else (), value)]
    while stack:
        place, names, item = stack.pop()
        if isinstance(item, Mapping):
            stack.extend(
                (f"{place}.{key}" if place else str(key), (*names, str(key)), inner)
                for key, inner in reversed(list(item.items()))
            )
            for key in item:
                if next(literals.found(str(key)), None) is not None:
                    yield Leaf(f"{place}.{key}" if place else str(key), names, str(key))
        elif isinstance(item, (list, tuple)):
            stack.extend((f"{place}[{at}]", names, item[at]) for at in reversed(range(len(item))))
        elif isinstance(item, (str, int, float)) and not isinstance(item, bool):
            yield Leaf(place, names, item)


class Index:
    """What one case has said, read and done. Append-only; made by `Guard.index`, for that guard alone.

    One thread adds at a time; others may look things up meanwhile. What does not fit into it any more is unknown; of
    each name it holds the newest `CALL_LIMIT` times.
    """

    def __init__(self, described: Mapping[str, Tool], needs: frozenset[Need], owner: str) -> None:
        """`described`: tools by name. `owner`: the digest of the guard that it is for."""
        self.owner = owner
        self.tainted = False
        self._described = described
        self._needs = needs
        self._lock = threading.Lock()
        self._said = _Phrases()
        self._trusted = _Phrases()
        self._fields: set[str] = set()
        self._times: dict[str, list[datetime]] = {}
        self._seen: set[str] = set()
        self._repeats: Counter[bytes] = Counter()
        self._under_way: dict[str, tuple[str, bytes]] = {}
        self.turn = threading.Lock()
        """Held from asking about a call until it has begun: of calls side by side each counts those before it."""

    def continue_from(self, earlier: Index) -> None:
        """Take the place of an index of the same case and guard, before anybody asks: the calls under way are the same,
        and what ends there ends here."""
        self._lock, self.turn, self._under_way = earlier._lock, earlier.turn, earlier._under_way

    def add(self, past: Past) -> None:
        """Take in what has happened. In the order of time, each once."""
        if not self._needs:
            return
        with self._lock:
            if past.kind == "human":
                if "values" in self._needs:
                    self._hear(past)
                return
            if "calls" in self._needs:
                self._note(past)
            if "repeats" in self._needs:
                self._repeats[_call(past.name, past.args)] += 1
            if "values" in self._needs and past.kind in _PERFORMS and past.verdict not in ("deny", "terminate"):
                self._read(past)

    def begin(self, key: str, name: str, args: Mapping[str, Any]) -> None:
        """Count a call that may be performed now, until it is `over`."""
        with self._lock:
            self._under_way[key] = (name, _call(name, args))

    def over(self, key: str) -> None:
        """The call of this key is not under way, or no more."""
        with self._lock:
            self._under_way.pop(key, None)

    def source(self, value: Any) -> Source:
        """Where a text or number was said or read before; as long a look as the value, however much there is."""
        whole, tokens = literals.spelled(value)
        if not whole:
            return ""
        if self._said.holds(whole, tokens):
            return "user"
        if self._trusted.holds(whole, tokens):
            return "trusted"
        return "field" if whole in self._fields else ""

    def said(self, words: frozenset[str]) -> bool:
        """Whether people have used one of these words."""
        return any(self._said.holds("", literals.spelled(word).tokens) for word in words)

    def count(self, name: str, since: datetime) -> int:
        """How many effects of that name, however they ended, were over since then, or are under way."""
        with self._lock:
            under_way = sum(other == name for other, _call in self._under_way.values())
        times = self._times.get(name, ())
        return len(times) - bisect.bisect_left(times, since) + under_way

    def seen(self, name: str) -> bool:
        """Whether an effect of that name has succeeded."""
        return name in self._seen

    def repeated(self, name: str, args: Mapping[str, Any]) -> int:
        """How often this very call was made before, however it ended, or is under way."""
        call = _call(name, args)
        with self._lock:
            return self._repeats[call] + sum(other == call for _name, other in self._under_way.values())

    def _hear(self, past: Past) -> None:
        for leaf in leaves(past.result):
            self._said.add(leaf.value)
            if isinstance(leaf.value, str) and (apart := literals.apart(leaf.value)) != leaf.value:
                self._said.add(apart)

    def _note(self, past: Past) -> None:
        times = self._times.setdefault(past.name, [])
        bisect.insort(times, events.aware(past.time))
        if len(times) > CALL_LIMIT:
            del times[0]
        if past.ok:
            self._seen.add(past.name)

    def _read(self, past: Past) -> None:
        tool = self._described.get(past.name, tools.UNKNOWN)
        trusted = tools.trusted(past.labels | tool.labels)
        if not trusted:
            self.tainted = True
        if not past.ok:
            return
        try:
            result = events.parsed(past.result)
        except UsageError:  # too deep to look into: nothing in it is known
            return
        if trusted:
            for leaf in leaves(result):
                self._trusted.add(leaf.value)
        elif isinstance(result, (Mapping, list, tuple)):
            self._take_fields(result, tool)

    def _take_fields(self, result: Any, tool: Tool) -> None:
        for leaf in leaves(result):
            if tool.fields is not None and not tool.fields.intersection(leaf.names):
                continue
            if len(self._fields) >= FIELD_LIMIT or len(literals.written(leaf.value)) > FIELD_LENGTH:
                continue
            if spelled := literals.spelling(leaf.value):
                self._fields.add(spelled)


class _Phrases:
    """Texts as sequences of tokens, with the places of every token; a phrase is found by its rarest one."""

    def __init__(self) -> None:
        self._room = TEXT_LIMIT
        self._ids: dict[str, int] = {}
        self._places: dict[int, array[int]] = {}
        self._stream: array[int] = array("I", [0])
        self._numbers: set[str] = set()

    def add(self, value: Any) -> None:
        text = literals.written(value)
        self._room -= len(text) + 1
        if self._room < 0:
            return
        self._numbers.update(number.spelling for number in literals.numbers(text))
        ids = [self._ids.setdefault(token, len(self._ids) + 1) for token in literals.tokens(text)]
        start = len(self._stream)
        self._stream.extend([*ids, 0])  # first, so that every place that a reader finds is there; 0 ends a text
        for at, id in enumerate(ids, start):
            self._places.setdefault(id, array("I")).append(at)

    def holds(self, spelled: str, tokens: Sequence[str]) -> bool:
        if spelled in self._numbers:
            return True
        places: list[array[int]] = []
        ids = array("I")
        for token in tokens:
            id = self._ids.get(token, 0)
            found = self._places.get(id)
            if found is None:
                return False
            ids.append(id)
            places.append(found)
        if len(ids) < 2:
            return len(ids) == 1
        rarest = min(range(len(ids)), key=lambda at: len(places[at]))
        return any(
            self._stream[place - rarest : place - rarest + len(ids)] == ids
            for place in places[rarest][:_MOST_PLACES]
            if place > rarest
        )


def _call(name: str, args: Mapping[str, Any]) -> bytes:
    try:
        return bytes.fromhex(canonical.digest([name, dict(args)]))
    except UsageError:  # no JSON value, which rules do not see either
        return name.encode("utf-8", "replace")


def ago(now: datetime, seconds: float) -> datetime:
    """The moment `seconds` before `now`; the earliest there is where that is too long ago.

    Raises:
        UsageError: a negative number of seconds.
    """
    if not seconds >= 0:
        raise UsageError(f"{seconds!r} seconds is no time to look back; give 0 or more")
    try:
        return now - timedelta(seconds=seconds)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)
