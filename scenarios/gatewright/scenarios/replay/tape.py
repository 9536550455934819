"""What a run did, as the answers of a replay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gatewright.agents.errors import GatewrightError, IntegrityError
from gatewright.runtime.episodes import Entry, Episode
from gatewright.safety.ledger import records


class Tape:
    """The recorded effects of one run by their keys. Of several tries of one effect the last counts."""

    def __init__(self, episode: Episode, run_id: str) -> None:
        self._entries: dict[str, Entry] = {}
        self._met: set[str] = set()
        for entry in episode.entries:
            effect = entry.record.effect
            if effect is not None and entry.record.run_id == run_id:
                self._entries[effect.key] = entry

    def __len__(self) -> int:
        return len(self._entries)

    def take(self, key: str) -> Entry | None:
        """The effect at this place, which has been met by that; None where there is none."""
        entry = self._entries.get(key)
        if entry is not None:
            self._met.add(key)
        return entry

    def within(self, key: str) -> bool:
        """Whether effects were recorded that the performing of this one was made of."""
        return any(_inside(other, key) for other in self._entries)

    def met(self, key: str) -> bool:
        """Whether an effect has been met, by itself or within another."""
        return key in self._met or any(_inside(key, outer) for outer in self._met)

    def left(self) -> Iterator[Entry]:
        """Effects that have not been met, in the order of the log, without those inside of others that have been."""
        for key, entry in self._entries.items():
            if not self.met(key):
                yield entry


def _inside(key: str, outer: str) -> bool:
    return key.startswith(f"{outer}/") or key.startswith(f"{outer}>")


def request_of(entry: Entry) -> dict[str, Any]:
    """What was asked for: kind, name, place and the arguments as they were wished, where they are still there."""
    effect = entry.record.effect
    assert effect is not None
    sealed = entry.values.get("wished") or entry.values.get("args")
    args = {"erased": True} if sealed is None else sealed.decoded()
    return {"kind": effect.kind, "name": effect.name, "step": entry.record.step, "args": args}


def check_seals(entry: Entry) -> None:
    """Check that the values beside a record are those that it commits to.

    Raises:
        IntegrityError: one is not, naming it.
    """
    for name, value in entry.values.items():
        commitment = entry.record.sealed.get(name)
        if commitment is None:
            raise IntegrityError(f"the record commits to no value {name!r}")
        try:
            records.check_seal(commitment, value.salt, value.data)
        except GatewrightError as error:
            raise IntegrityError(f"its value {name!r}: {error}") from error
