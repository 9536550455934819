"""Files that people write: YAML read by the core schema of YAML 1.2, with the line of every value."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.scanner import ScannerError

from gatewright.agents.errors import UnavailableError, UsageError
from gatewright.safety import canonical

MAX_BYTES = 262_144  # of one file; the parser takes up to half a microsecond for a byte of text
MAX_DEPTH = canonical.MAX_DEPTH  # levels of nesting; the digest of a file can be taken of no more

Path = tuple[str | int, ...]

_KINDS = frozenset({"str", "int", "float", "bool", "null", "seq", "map"})


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something wrong in a file. `rule` is the id of the rule it is in, empty outside of rules."""

    file: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        where = f" rule {self.rule!r}:" if self.rule else ""
        return f"{self.file}:{self.line}:{where} {self.message}"


class PackError(UsageError):
    """A rule pack cannot be used; the message lists everything that is wrong with it, and so does `problems`."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.file, problem.line)))
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True, kw_only=True)
class Source:
    """A parsed file. `lines` has the line, counted from 1, on which the value at a path begins."""

    file: str
    data: Any
    lines: dict[Path, int]

    def line(self, path: Path) -> int:
        """The line of the value at `path`, or of the nearest one around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


class _Loader(yaml.SafeLoader):
    """YAML 1.1 would read the key `on` as true, and `no` as false."""

    yaml_implicit_resolvers: dict[Any, Any] = {}

    def fetch_more_tokens(self) -> None:
        # Before anything is composed: the scanner's time grows with the square of the brackets that are open.
        if self.flow_level + len(self.indents) > MAX_DEPTH:
            raise ScannerError(None, None, f"nested more than {MAX_DEPTH} levels deep; flatten it", self.get_mark())
        super().fetch_more_tokens()


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _starts = [start if start != "\0" else "" for start in _first]
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _starts)


def read(path: pathlib.Path) -> str:
    """The text of a rule pack's file.

    Raises:
        UnavailableError: the file cannot be read.
    """
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnavailableError(f"the rule pack {str(path)!r} cannot be read: {error}") from error


def parse(text: str, file: str) -> Source:
    """Read YAML.

    Raises:
        PackError: not YAML, a key given twice, an alias, more than `MAX_BYTES` or `MAX_DEPTH`.
    """
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise PackError([Problem(file=file, line=1, rule="", message=f"larger than {MAX_BYTES} bytes; split it")])
    loader: _Loader | None = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines: dict[Path, int] = {}
        problems: list[Problem] = []
        seen: set[int] = set()
        _walk(node, (), file, lines, problems, seen)
        if problems:
            raise PackError(problems)
        data = loader.construct_document(node) if node is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise PackError([Problem(file=file, line=line, rule="", message=f"not YAML: {error.problem}")]) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise PackError([Problem(file=file, line=1, rule="", message=f"not YAML: {error}")]) from error
    finally:
        if loader is not None:
            loader.dispose()
    return Source(file=file, data=data, lines=lines)


def _walk(
    node: yaml.Node | None, path: Path, file: str, lines: dict[Path, int], problems: list[Problem], seen: set[int]
) -> None:
    if node is None:
        return
    line = node.start_mark.line + 1
    # The text of a block scalar begins on the line below its indicator.
    lines[path] = line + (isinstance(node, yaml.ScalarNode) and node.style in ("|", ">"))
    if node.tag.removeprefix("tag:yaml.org,2002:") not in _KINDS:
        problems.append(
            Problem(
                file=file,
                line=line,
                rule="",
                message=f"the tag {node.tag!r} is not read; a text that begins with `!` needs quotes",
            )
        )
    if not isinstance(node, yaml.ScalarNode):
        if id(node) in seen:
            problems.append(
                Problem(file=file, line=line, rule="", message="aliases (`*name`) are not read; write it out")
            )
            return
        seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*path, index), file, lines, problems, seen)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            place = (*path, str(key.value))
            if place in lines:
                at = key.start_mark.line + 1
                problems.append(Problem(file=file, line=at, rule="", message=f"{key.value!r} is given twice; keep one"))
            _walk(value, place, file, lines, problems, seen)
            lines[place] = min(lines[place], key.start_mark.line + 1) if not _block(value) else lines[place]


def _block(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style in ("|", ">")
