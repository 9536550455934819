"""Attackers in control of structured fields: their target stands as sender, title, file name and the like as well."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from .attackers import squeezed

SEIZED: Mapping[str, tuple[str, ...]] = {
    "Email": ("sender", "subject"),
    "CalendarEvent": ("title", "location", "participants"),
    "CloudDriveFile": ("filename", "owner"),
    "Message": ("sender",),
    "Transaction": ("sender",),
    "Hotel": ("name",),
    "Restaurant": ("name",),
    "CarRentalCompany": ("name",),
}
"""What an outsider can choose about the thing that carries the injected text, by its class."""

_ADDRESSES = {("Email", "sender"), ("CalendarEvent", "participants"), ("CloudDriveFile", "owner")}


def seize(environment: Any, bait: Sequence[str], targets: Sequence[str]) -> None:
    """Write the attacker's targets into the structured fields beside the injected text, in place.

    Fields for addresses get the target that is one, if there is any; others get the targets in turn.
    """
    addresses = [target for target in targets if "@" in target]
    for carrier in {id(carrier): carrier for carrier in _carriers(environment)}.values():
        own = [text for text in vars(carrier).values() if isinstance(text, str | list)]
        if not any(part in squeezed(str(text)) for part in bait for text in own):
            continue
        kind = type(carrier).__name__
        for position, name in enumerate(SEIZED.get(kind, ())):
            wanted = addresses if (kind, name) in _ADDRESSES else list(targets)
            if not wanted or any(part in squeezed(str(getattr(carrier, name))) for part in bait):
                continue
            chosen = wanted[position % len(wanted)]
            current = getattr(carrier, name)
            setattr(carrier, name, [*current, chosen] if isinstance(current, list) else chosen)


def _carriers(value: Any) -> Iterator[BaseModel]:
    if isinstance(value, BaseModel):
        yield value
        for inner in vars(value).values():
            yield from _carriers(inner)
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _carriers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _carriers(inner)
