"""Rule packs: versioned guardrails in a file, checked and tried on their own examples before they are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from gatewright.agents.errors import UsageError
from gatewright.safety import canonical, limits
from gatewright.safety.limits.breakers import Breaker
from gatewright.safety.limits.budgets import Budget

from . import checking, sources
from .documents import PackText, complaints
from .rule import Rule
from .schemas import Tools
from .sources import PackError
from .tools import Tool


@dataclass(frozen=True, kw_only=True)
class Pack:
    """A checked rule pack. `digest`: SHA-256 of the canonical content; comments and layout do not change it.

    `text`: the file as it was written.
    """

    name: str
    version: str
    digest: str
    rules: tuple[Rule, ...] = ()
    tools: Mapping[str, Tool] = field(default_factory=dict)
    budgets: tuple[Budget, ...] = ()
    breakers: tuple[Breaker, ...] = ()
    text: str = field(default="", repr=False, compare=False)

    @property
    def title(self) -> str:
        """`name@version#digest`, 12 hexadecimal digits of it: what records and people call the pack."""
        return f"{self.name}@{self.version}#{self.digest[:12]}"

    @property
    def labels(self) -> Mapping[str, frozenset[str]]:
        """The labels of the tools that the pack describes."""
        return {name: tool.labels for name, tool in self.tools.items()}

    @classmethod
    def empty(cls) -> Pack:
        """The pack without rules: it allows everything."""
        return cls(name="empty", version="0", digest=canonical.digest({}))

    @classmethod
    def load(cls, path: Path, *, tools: Tools | None = None) -> Pack:
        """Read and check the rule pack in the file `path`; see `parse`.

        Raises:
            PackError: everything that is wrong with it.
            UnavailableError: the file cannot be read.
        """
        return cls.parse(sources.read(path), file=str(path), tools=tools)

    @classmethod
    def parse(cls, text: str, *, file: str = "<text>", tools: Tools | None = None) -> Pack:
        """Check a rule pack and run its examples.

        Args:
            file: the name that problems are reported under.
            tools: given, a rule about any other tool is refused, and so is an argument that the tool does not have.

        Raises:
            PackError: everything that is wrong with it.
        """
        source = sources.parse(text, file)
        try:
            document = PackText.model_validate(source.data)
        except ValidationError as error:
            raise PackError([checking.problem(source, path, message) for path, message in complaints(error)]) from error
        try:
            digest = canonical.digest(source.data)
        except UsageError as error:
            raise PackError([checking.problem(source, (), str(error))]) from error
        rules, problems = checking.checked(source, document, tools)
        problems += [checking.problem(source, path, message) for path, message in _mistakes(document, tools)]
        if problems:
            raise PackError(problems)
        counts = document.mode == "enforce"  # a pack on trial changes nothing
        return cls(
            name=document.name,
            version=document.version,
            digest=digest,
            rules=rules,
            tools={name: tool.tool() for name, tool in document.tools.items()},
            budgets=tuple(document.budgets) if counts else (),
            breakers=tuple(document.breakers) if counts else (),
            text=text,
        )


def _mistakes(document: PackText, tools: Tools | None) -> list[tuple[sources.Path, str]]:
    """What is wrong with the budgets and breakers of a document."""
    return [
        *limits.mistakes("budgets", document.budgets, tools),
        *limits.mistakes("breakers", document.breakers, tools),
    ]
