"""The lines of a file of episodes: what each says, checked when it is read."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from gatewright.agents.errors import IntegrityError, UsageError
from gatewright.runtime import codec
from gatewright.runtime.causes import Cause
from gatewright.runtime.episodes import Entry, Request, Run, Thread, Value
from gatewright.safety.canonical import canonical

FORMAT: Literal["gatewright.episodes"] = "gatewright.episodes"
VERSION: Literal[1] = 1

Base64 = Annotated[str, Field(pattern=r"^[A-Za-z0-9+/]*={0,2}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Line(BaseModel):
    """Base of the lines: nothing is taken that is not understood."""

    model_config = ConfigDict(extra="forbid")


class FileLine(Line):
    """Begins a file; texts that were known before it are not known any more, so files may be put one after another."""

    line: Literal["file"] = "file"
    format: Literal["gatewright.episodes"] = FORMAT
    version: Literal[1] = VERSION


class TextLine(Line):
    """A long text, before the first line that refers to it as `{"$text": sha256}`."""

    line: Literal["text"] = "text"
    sha256: Digest
    text: str


class ThreadPart(Line):
    """A thread of the case. `salt` keys the digests of its effects."""

    id: str
    agent: str
    deployment: str
    settings: dict[str, Any] = Field(default_factory=dict)
    salt: Base64

    @classmethod
    def of(cls, thread: Thread) -> ThreadPart:
        """Of what the database holds."""
        return cls(
            id=thread.id,
            agent=thread.agent,
            deployment=thread.deployment,
            settings=dict(thread.settings),
            salt=b64encode(thread.salt).decode(),
        )

    def thread(self) -> Thread:
        """As the runtime has it."""
        return Thread(self.id, self.agent, self.deployment, self.settings, b64decode(self.salt))


class EpisodeLine(Line):
    """Begins an episode. `versions`: of the software that recorded it · `data`: fingerprints of what its world held."""

    line: Literal["episode"] = "episode"
    id: str
    threads: list[ThreadPart]
    versions: dict[str, str] = Field(default_factory=dict)
    data: dict[str, str] = Field(default_factory=dict)


class RunLine(Line):
    """A run, in the order of acceptance. `input` is missing where it was erased."""

    line: Literal["run"] = "run"
    id: str
    thread_id: str
    agent: str
    deployment: str
    status: str
    started_at: int
    input: Any = None
    erased: bool = False
    cause: dict[str, Any] | None = None

    @classmethod
    def of(cls, run: Run, given: bytes | None) -> RunLine:
        """Of what the database holds; `given` is the input's JSON text."""
        return cls(
            id=run.id,
            thread_id=run.thread_id,
            agent=run.agent,
            deployment=run.deployment,
            status=run.status,
            started_at=run.started_at,
            input=None if given is None else orjson.loads(given),
            erased=given is None,
            cause=None if run.cause is None else run.cause.plain(),
        )

    def run(self) -> Run:
        """As the runtime has it."""
        given = None if self.erased else orjson.dumps(self.input)
        cause = None if self.cause is None else Cause(**self.cause)
        return Run(self.id, self.thread_id, self.agent, self.deployment, self.status, self.started_at, given, cause)


class ValuePart(Line):
    """A value that a record commits to: SHA-256 over salt and bytes. The bytes are those of `json` as orjson writes it,
    or `data`; `shown` is then what they say, for readers without LangGraph."""

    type: str
    salt: Base64
    json_: Any = Field(default=None, alias="json")
    data: Base64 | None = None
    shown: Any = None

    @classmethod
    def of(cls, value: Value) -> ValuePart:
        """Of what the database holds."""
        salt = b64encode(value.salt).decode()
        if value.type == "json" and orjson.dumps(plain := orjson.loads(value.data)) == value.data:
            return cls(type="json", salt=salt, json=plain)
        shown = codec.plain(value.decoded())
        return cls(type=value.type, salt=salt, data=b64encode(value.data).decode(), shown=shown)

    def value(self) -> Value:
        """As the runtime has it."""
        data = orjson.dumps(self.json_) if self.data is None else b64decode(self.data)
        return Value(self.type, data, b64decode(self.salt), trusted=False)


class RecordLine(Line):
    """A record of the ledger. The canonical form (RFC 8785) of `body` is its leaf, at `position` in the log."""

    line: Literal["record"] = "record"
    position: int
    body: dict[str, Any]
    values: dict[str, ValuePart] = Field(default_factory=dict)

    @classmethod
    def of(cls, entry: Entry) -> RecordLine:
        """Of what the database holds."""
        values = {name: ValuePart.of(value) for name, value in entry.values.items()}
        return cls(position=entry.position, body=orjson.loads(entry.body), values=values)

    def entry(self) -> Entry:
        """As the runtime has it."""
        try:
            body = canonical(self.body)
        except UsageError as error:
            raise IntegrityError(f"the record at {self.position} is no record: {error}") from error
        return Entry(self.position, body, {name: value.value() for name, value in self.values.items()})


class RequestLine(Line):
    """Something that people were asked."""

    line: Literal["request"] = "request"
    run_id: str
    key: str
    asked_at: int
    question: Any = None
    answered: bool = False
    by: str = ""
    answer: Any = None
    decided_at: int | None = None

    def request(self) -> Request:
        """As the runtime has it."""
        return Request(**self.model_dump(exclude={"line"}))


class EndLine(Line):
    """Ends an episode. `sha256` is that of all its lines from the first to the one before this, texts left out, each
    with its line feed. `reward` is in the world's own unit, None where nothing gave one."""

    line: Literal["end"] = "end"
    id: str
    reward: float | None = None
    outcome: dict[str, Any] = Field(default_factory=dict)
    sha256: Digest


AnyLine = Annotated[
    FileLine | TextLine | EpisodeLine | RunLine | RecordLine | RequestLine | EndLine, Field(discriminator="line")
]
