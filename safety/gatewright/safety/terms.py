"""What an approval must satisfy: as a rule pack writes it, and as several rules' terms become one."""

from __future__ import annotations

from dataclasses import dataclass

from .fields import Duration, Names, Part


@dataclass(frozen=True, kw_only=True)
class ApprovalTerms:
    """What an approval must satisfy.

    `roles`: the person must hold every one of them. `excluded`: names of people who may not decide. `expires`:
    seconds after which an open request is over, None for never.
    """

    roles: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    expires: float | None = None

    def join(self, other: ApprovalTerms) -> ApprovalTerms:
        """Terms that satisfy both: all roles, all exclusions, the shorter time."""
        times = [time for time in (self.expires, other.expires) if time is not None]
        return ApprovalTerms(
            roles=self.roles | other.roles,
            excluded=self.excluded | other.excluded,
            expires=min(times, default=None),
        )


class Approval(Part):
    """The `approval:` of a rule in a rule pack."""

    roles: Names | None = None
    excluded: Names | None = None
    expires: Duration | None = None

    def terms(self) -> ApprovalTerms:
        """The terms that it stands for."""
        return ApprovalTerms(
            roles=frozenset(self.roles or ()),
            excluded=frozenset(self.excluded or ()),
            expires=self.expires,
        )
