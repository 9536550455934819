"""Writing and reading files of episodes, one episode in memory at a time."""

from __future__ import annotations

import contextlib
import gzip
import io
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import IO, Any, cast

import orjson
from pydantic import TypeAdapter, ValidationError

from gatewright.agents.errors import GatewrightError, IntegrityError, NotFoundError, UsageError
from gatewright.runtime.episodes import Entry, Episode, Request, Run, Thread
from gatewright.runtime.files import replacing

from .lines import (
    AnyLine,
    EndLine,
    EpisodeLine,
    FileLine,
    Line,
    RecordLine,
    RequestLine,
    RunLine,
    TextLine,
    ThreadPart,
)
from .texts import Texts, digest_of

LONGEST = 64 * 2**20  # bytes of a line; a longer one is no line of ours

_LINE: TypeAdapter[AnyLine] = TypeAdapter(AnyLine)
_LIBRARIES = ("gatewright", "langchain-core", "langgraph")


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """An episode as a file holds it, with what is known beside what it did.

    `versions`: of the software that recorded it · `data`: fingerprints of what its world held, by name · `reward` and
    `outcome`: what came of it · `digest`: its content address, empty before it is written.
    """

    episode: Episode
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    data: Mapping[str, str] = field(default_factory=dict[str, str])
    reward: float | None = None
    outcome: Mapping[str, Any] = field(default_factory=dict[str, Any])
    digest: str = ""


def versions() -> dict[str, str]:
    """Of the software that records now."""
    return {"python": python_version(), **{name: version(name) for name in _LIBRARIES}}


def schema() -> dict[str, Any]:
    """The JSON Schema of a line."""
    return _LINE.json_schema(by_alias=True)


class Writer:
    """Writes episodes to a stream."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._texts = Texts()
        self._stream.write(_dumped(FileLine()))

    def write(self, recorded: Recorded) -> str:
        """Write an episode; gives its digest."""
        episode, total = recorded.episode, sha256()
        head = EpisodeLine(
            id=episode.id,
            threads=[ThreadPart.of(thread) for thread in episode.threads],
            versions=dict(recorded.versions),
            data=dict(recorded.data),
        )
        for line in (head, *_body(episode)):
            news: list[str] = []
            plain = self._texts.folded(line.model_dump(by_alias=True, exclude_defaults=True) | _named(line), news)
            for text in news:
                self._stream.write(_dumped(TextLine(sha256=digest_of(text), text=text)))
            written = orjson.dumps(plain) + b"\n"
            total.update(written)
            self._stream.write(written)
        digest = total.hexdigest()
        self._stream.write(
            _dumped(EndLine(id=episode.id, reward=recorded.reward, outcome=dict(recorded.outcome), sha256=digest))
        )
        return digest


@contextlib.contextmanager
def writing(path: Path) -> Generator[Writer]:
    """A writer to a file, compressed where its name ends with `.gz`; it is there when all has been written.

    Raises:
        UsageError: it cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            raw: IO[bytes] = stack.enter_context(stack.enter_context(replacing(path)).open("wb"))
        except OSError as error:
            raise UsageError(f"cannot write episodes to {str(path)!r}: {error.strerror}") from error
        if path.suffix == ".gz":  # no name and time in it: the same episodes are the same bytes
            packed = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6)
            yield Writer(cast("IO[bytes]", stack.enter_context(packed)))
        else:
            yield Writer(raw)


def read(path: Path) -> Iterator[Recorded]:
    """The episodes of a file, one after the other.

    Raises:
        NotFoundError: there is no such file.
        UsageError: it is of another kind.
        IntegrityError: it was changed, or is cut off; the line is named.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            with gzip.GzipFile(fileobj=raw) if packed else contextlib.nullcontext(raw) as stream:
                yield from _Reading(io.BufferedReader(cast("Any", stream)) if packed else raw, path).episodes()
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {str(path)!r} with episodes") from error
    except (EOFError, gzip.BadGzipFile) as error:
        raise IntegrityError(f"{str(path)!r} is cut off or not gzip: {error}") from error
    except OSError as error:
        raise UsageError(f"cannot read episodes from {str(path)!r}: {error.strerror or error}") from error


class _Reading:
    """One file that is read, and how far."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream = stream
        self._path = path
        self._texts = Texts()
        self._number = 0

    def episodes(self) -> Iterator[Recorded]:
        lines = self._lines()
        for head, raw in lines:
            if isinstance(head, EpisodeLine):
                yield self._episode(head, raw, lines)
            elif not isinstance(head, FileLine | TextLine):
                raise self._bad(f"a {head.line!r} line stands outside an episode")

    def _lines(self) -> Iterator[tuple[AnyLine, bytes]]:
        while raw := self._stream.readline(LONGEST + 1):
            self._number += 1
            if len(raw) > LONGEST:
                raise self._bad(f"it has more than {LONGEST} bytes")
            try:
                plain = orjson.loads(raw)
                if self._number == 1 and (not isinstance(plain, dict) or plain.get("line") != "file"):
                    raise UsageError(
                        f"{str(self._path)!r} is no file of episodes: it does not begin with {_dumped(FileLine())!r}; "
                        "`gatewright scenario import` takes recordings of other programs"
                    )
                line = _LINE.validate_python(self._texts.unfolded(plain))
            except orjson.JSONDecodeError as error:
                if self._number == 1:
                    raise UsageError(f"{str(self._path)!r} is no file of episodes: it is not JSON Lines") from error
                raise self._bad(f"it is not JSON: {error}") from error
            except ValidationError as error:
                first = error.errors(include_url=False)[0]
                place = ".".join(str(part) for part in first["loc"])
                raise self._bad(f"{place}: {first['msg']}") from error
            except IntegrityError as error:
                raise self._bad(str(error)) from error
            if isinstance(line, FileLine):
                self._texts = Texts()
            elif isinstance(line, TextLine):
                if self._texts.add(line.text) != line.sha256:
                    raise self._bad("the text is not the one that its digest names")
            yield line, raw

    def _episode(self, head: EpisodeLine, raw: bytes, lines: Iterator[tuple[AnyLine, bytes]]) -> Recorded:
        total = sha256(raw)
        threads: list[Thread] = [part.thread() for part in head.threads]
        runs: list[Run] = []
        entries: list[Entry] = []
        requests: list[Request] = []
        for line, raw_line in lines:
            try:
                if isinstance(line, RunLine):
                    runs.append(line.run())
                elif isinstance(line, RecordLine):
                    entries.append(line.entry())
                elif isinstance(line, RequestLine):
                    requests.append(line.request())
                elif isinstance(line, EndLine):
                    if line.sha256 != total.hexdigest():
                        raise self._bad(f"episode {head.id!r} was changed: its lines are not those of its digest")
                    return Recorded(
                        episode=Episode(head.id, threads, runs, entries, requests),
                        versions=head.versions,
                        data=head.data,
                        reward=line.reward,
                        outcome=line.outcome,
                        digest=line.sha256,
                    )
                elif not isinstance(line, TextLine):
                    raise self._bad(f"a {line.line!r} line stands within episode {head.id!r}")
            except (ValueError, TypeError) as error:
                raise self._bad(str(error)) from error
            if not isinstance(line, TextLine):
                total.update(raw_line)
        raise self._bad(f"the file ends within episode {head.id!r}")

    def _bad(self, why: str) -> GatewrightError:
        return IntegrityError(f"{str(self._path)!r}, line {self._number}: {why}")


def _body(episode: Episode) -> Iterator[Line]:
    for run in episode.runs:
        yield RunLine.of(run, episode.input_of(run))
    for entry in episode.entries:
        yield RecordLine.of(entry)
    for request in episode.requests:
        yield RequestLine(**request._asdict())


def _named(line: Line) -> dict[str, Any]:
    return {"line": cast("AnyLine", line).line}


def _dumped(line: Line) -> bytes:
    return orjson.dumps({**_named(line), **line.model_dump(by_alias=True)}) + b"\n"
