"""From a decision record to what the writer appends: the one way into the ledger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gatewright.safety.ledger import publication, records

from .store.writer import Leaf, Seal


class Written(NamedTuple):
    """The arguments of `Transaction.append`."""

    leaf: Leaf
    seals: Sequence[Seal]


def written(record: records.Record, seals: Sequence[Seal] = ()) -> Written:
    """The leaf of a record, without the personal data that its words may hold; their full text joins the `seals`."""
    published, said = publication.publish(record)
    if said is not None:
        seals = [*seals, Seal(publication.SAID, "json", said.value, said.salt)]
    return Written(Leaf(record.kind, record.run_id or None, record.case_id or None, published.encode()), seals)
