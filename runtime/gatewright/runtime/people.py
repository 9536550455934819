"""Who talks to the service: a person of the configuration, the service account, or whoever reaches it.

A token says who somebody is, never a name in a request. Only where neither people nor a token are configured (a
developer's own machine) is the name that a request gives taken, and what it did is marked as not authenticated.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from gatewright.agents.errors import DeniedError, UsageError
from gatewright.safety.approvals.ballots import Voter

from .config import AUDITOR, OPERATOR, SERVICE, Config, Person
from .views import IdentityKind, IdentityView

TOKEN_BYTES = 32
TOKEN_PREFIX = "gw_"  # so that scanners for leaked secrets can find it


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who a request comes from. `anyone` has the name that they give themselves, or none."""

    kind: IdentityKind
    name: str = ""
    roles: frozenset[str] = frozenset()

    @property
    def authenticated(self) -> bool:
        """Whether the name is proven."""
        return self.kind != "anyone"

    @property
    def operates(self) -> bool:
        """Whether they may do what concerns runs and grants of others: cancel, resume, revoke, pause, waive."""
        return self.kind != "person" or OPERATOR in self.roles

    @property
    def reads_only(self) -> bool:
        """Whether they may change nothing."""
        return AUDITOR in self.roles

    @property
    def requester(self) -> str | None:
        """Who starts a run, where that is a person and proven: they do not approve what it asks for."""
        return self.name if self.kind == "person" else None

    def voter(self, by: str | None, *, via: str) -> Voter:
        """Who votes, when `by` is what the request says; a service account is no person.

        Raises:
            DeniedError: the request names somebody else, or they change nothing.
            UsageError: they are not known and give no name.
        """
        if self.reads_only:
            raise DeniedError(f"{self.name!r} is an auditor, who reads everything and changes nothing")
        return Voter(
            name=self.sign(by),
            roles=self.roles,
            authenticated=self.kind == "person",
            program=self.kind == "service",
            via=via,
        )

    def sign(self, by: str | None) -> str:
        """The name that what they do is recorded under; `by` is what the request says.

        Raises:
            DeniedError: the request names somebody else.
            UsageError: they are not known and give no name.
        """
        said = (by or "").strip()
        if self.kind == "anyone":
            if not (said or self.name):
                raise UsageError("`by` is missing: no people are configured here, so say who you are")
            return said or self.name
        if said not in ("", self.name):
            raise DeniedError(
                f"`by` is {said!r}, and the token is that of {self.name!r}; nobody acts under another's name, leave "
                "`by` out"
            )
        return self.name

    def operate(self, what: str) -> None:
        """Let operators pass.

        Raises:
            DeniedError: they lack the role.
        """
        if not self.operates:
            raise DeniedError(
                f"{what} needs the role {OPERATOR!r}, {self.name!r} has {sorted(self.roles)}; ask an operator"
            )

    def view(self) -> IdentityView:
        """As it is shown."""
        return IdentityView(kind=self.kind, name=self.name, roles=sorted(self.roles), operates=self.operates)


ANYONE = Identity(kind="anyone")


class Roster:
    """Everybody who may use a service, and what proves that they are who they are."""

    def __init__(self, people: Mapping[str, Person], token: str) -> None:
        """Args:
        token: the service's own (`server.token`), empty for none.
        """
        self._proofs = {name: person.token_sha256 for name, person in people.items()}
        self._identities = {
            name: Identity(kind="person", name=name, roles=frozenset(person.roles)) for name, person in people.items()
        }
        if token:
            self._proofs[SERVICE] = digest(token)
            self._identities[SERVICE] = Identity(kind="service", name=SERVICE) if people else ANYONE

    @classmethod
    def of(cls, config: Config) -> Roster:
        """The roster that a service of this configuration has."""
        return cls(config.people, config.server.token)

    @property
    def open(self) -> bool:
        """Whether no token is needed."""
        return not self._proofs

    def identify(self, token: str | bytes) -> tuple[str, Identity] | None:
        """Whose token it is, with the name that `proof` and `find` take; None for nobody's.

        Every proof is compared, each in constant time, so that the time taken says nothing.
        """
        given = digest(token)
        found = [name for name, proof in self._proofs.items() if hmac.compare_digest(given, proof)]
        return (found[0], self._identities[found[0]]) if found else None

    def find(self, name: str) -> Identity | None:
        """Somebody by name."""
        return self._identities.get(name)

    def proof(self, name: str) -> str:
        """What a token of theirs hashes to; empty for nobody."""
        return self._proofs.get(name, "")


def digest(token: str | bytes) -> str:
    """What the configuration holds of a token: SHA-256, 64 hexadecimal digits. Tokens are 256 random bits, so that a
    slow hash would add nothing."""
    return hashlib.sha256(token.encode() if isinstance(token, str) else token).hexdigest()


def new_token() -> str:
    """A token for a person."""
    return TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
