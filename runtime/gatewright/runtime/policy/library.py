"""The rule packs that a service has worked under, so that what a record says can be explained years later."""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy import Connection

from gatewright.agents.errors import NotFoundError
from gatewright.runtime.store import schema
from gatewright.runtime.store.writer import Transaction
from gatewright.safety.review import drafts
from gatewright.safety.review.drafts import Draft
from gatewright.safety.rules.packs import Pack

_PACK = schema.Pack.__table__  # type: ignore[attr-defined]  # SQLModel adds it

_KNOWN = sa.select(_PACK.c.digest).where(_PACK.c.digest == sa.bindparam("of"))
_KEEP = sa.insert(_PACK).values({name: sa.bindparam(name) for name in ("digest", "title", "text", "first_seen")})


def keep(transaction: Transaction, packs: Iterable[Pack], *, now: int) -> None:
    """Keep the text of packs, each once; the empty pack has none."""
    for pack in packs:
        if pack.text and transaction.one(_KNOWN, of=pack.digest) is None:
            transaction.run(_KEEP, digest=pack.digest, title=pack.title, text=pack.text, first_seen=now)


def find(connection: Connection, title: str) -> Draft:
    """The pack, with its text, that records call by this title.

    Raises:
        NotFoundError: no service has worked under it here.
        PackError: its text cannot be used by this version.
    """
    text = connection.execute(sa.select(_PACK.c.text).where(_PACK.c.title == title)).scalar()
    if text is None:
        raise NotFoundError(f"the text of the rule pack {title!r} is not kept here; give its file with --pack")
    return drafts.parse(text, file=title)
