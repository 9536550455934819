"""What a service is configured with: `gatewright.toml`, overridden by `GATEWRIGHT_…` in the environment."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import tomllib
import unicodedata
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gatewright.agents.errors import UnavailableError, UsageError
from gatewright.agents.subscriptions import Subscription

from .addresses import KafkaURL, Origin, PublicURL
from .bus.topics import Name as TopicName
from .bus.topics import Topic
from .notices.receivers import Mail, Receivers
from .policies import MOST_EXPLORATION

FILE = "gatewright.toml"
MANIFEST = "langgraph.json"
PREFIX = "GATEWRIGHT_"
OPERATOR = "operator"  # the role of those who steer what others have started
AUDITOR = "auditor"  # the role of those who read and change nothing
SERVICE = "service"  # the name of whoever holds `server.token`
NAME = re.compile(r"[^\s\x00-\x1f\x7f]+( [^\s\x00-\x1f\x7f]+)*")
ROLE = re.compile(r"[a-z0-9][a-z0-9._-]*")
SHA256 = re.compile(r"[0-9a-f]{64}")


def _one_spelling(name: str) -> bool:
    """Whether a name is the only way to write what one sees: no other parts of letters, nothing that nobody sees."""
    return name.isprintable() and unicodedata.is_normalized("NFC", name)


class Section(BaseModel):
    """A part of the configuration; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ExternalGuard(Section):
    """Something that scores what passes a deployment (see `gatewright.safety.scorers`).

    `use` is `module:attribute`: a class or function, called with `settings`, or the scorer itself. It is asked at
    `hooks`, about `names` only where there are any, and has `timeout` seconds.
    """

    use: str
    hooks: Annotated[tuple[str, ...], Field(min_length=1)]
    names: tuple[str, ...] = ()
    timeout: Annotated[float, Field(gt=0, le=60)] = 2.0
    settings: dict[str, Any] = Field(default_factory=dict)

    @field_validator("hooks")
    @classmethod
    def _hooks(cls, hooks: tuple[str, ...]) -> tuple[str, ...]:
        from gatewright.safety.rules.events import Hook

        known = get_args(Hook)
        for hook in hooks:
            if hook not in known:
                near = difflib.get_close_matches(hook, known, n=1) or sorted(known)
                raise ValueError(f"has a hook {hook!r}; did you mean {' or '.join(map(repr, near))}?")
        return hooks


class Chooser(Section):
    """What chooses at a decision point in place of its own rule.

    `file` is a policy artefact, and `version` the one that it must be. `explore` keeps the point's own rule, and has it
    choose any open option with this probability.
    """

    file: Path | None = None
    version: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    explore: Annotated[float, Field(ge=0, le=MOST_EXPLORATION)] = 0.0

    @model_validator(mode="before")
    @classmethod
    def _file_alone(cls, value: Any) -> Any:
        return {"file": value} if isinstance(value, str | Path) else value

    @model_validator(mode="after")
    def _one_of_file_and_explore(self) -> Chooser:
        if (self.file is None) == (self.explore == 0) or (self.version and self.file is None):
            raise ValueError(
                f"needs either `file`, with a `version` or without, or `explore` above 0; it has file {self.file}, "
                f"version {self.version!r} and explore {self.explore}; a policy in a file says itself how it explores"
            )
        return self


class Deployment(Section):
    """A name that traffic reaches, and what serves it.

    `team` names an installed team (entry point group `gatewright.teams`) or one as `module:attribute`; `graph` names
    a plain LangGraph graph as `path/to/file.py:attribute` or `module:attribute` (as in `langgraph.json`). One of the
    two is needed. `rules` replaces the team's own rule pack; `shadow` is one on trial, whose verdicts are recorded
    beside those that count and change nothing. `guards` are external ones, by the name that rules know their scores by.
    `owner` is the person who answers for the agents, and does not approve what they ask for. `subscriptions` are topics
    whose messages the agents are given, beside those of the team. `policies` choose at the decision points that they
    are named by, in place of the points' own rules.
    """

    team: str = ""
    graph: str = ""
    model: str = ""
    owner: str = ""
    rules: Path | None = None
    shadow: Path | None = None
    world: dict[str, Any] = Field(default_factory=dict)
    guards: dict[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")], ExternalGuard] = Field(
        default_factory=dict
    )

    subscriptions: tuple[Subscription, ...] = ()
    policies: dict[str, Chooser] = Field(default_factory=dict)

    @field_validator("rules", "shadow", mode="before")
    @classmethod
    def _one_file(cls, value: Any) -> Any:
        if isinstance(value, list):
            raise ValueError(f"is {value!r}; name one file: a pack on trial goes under `shadow`")
        return value

    @model_validator(mode="after")
    def _one_of_team_and_graph(self) -> Deployment:
        if bool(self.team) == bool(self.graph):
            raise ValueError(f"needs either `team` or `graph`; it has team {self.team!r} and graph {self.graph!r}")
        return self


class Person(Section):
    """Somebody who signs in with a token of their own; `gatewright people token NAME` makes one.

    Roles are what approvals ask for. `operator` and `auditor` mean something to the service itself; an auditor reads
    everything, changes nothing and has no other role.
    """

    roles: tuple[str, ...] = ()
    token_sha256: str

    @field_validator("roles")
    @classmethod
    def _roles(cls, roles: tuple[str, ...]) -> tuple[str, ...]:
        odd = [role for role in roles if not ROLE.fullmatch(role)]
        if odd:
            raise ValueError(f"has a role {odd[0]!r}; a role is made of a-z, 0-9, dots, hyphens and underscores")
        if AUDITOR in roles and len(roles) > 1:
            raise ValueError(f"has roles {list(roles)}; {AUDITOR!r} goes with no other: who reviews decides nothing")
        return roles

    @field_validator("token_sha256")
    @classmethod
    def _digest(cls, digest: str) -> str:
        if not SHA256.fullmatch(digest):  # not shown: it could be the token itself
            raise ValueError("is not a SHA-256 in 64 hexadecimal digits; `gatewright people token NAME` prints one")
        return digest


class Server(Section):
    """The HTTP service. Without a `token` and without people it listens on loopback addresses only.

    `token` is a service account's: whoever has it may do everything, but beside people it decides no approvals.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8420
    token: str = ""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 4 * 1024 * 1024
    public_url: PublicURL = ""
    origins: tuple[Origin, ...] = ()


class Worker(Section):
    """How runs are executed. Times in seconds. `deployments`: those that this process executes; empty for all."""

    deployments: tuple[str, ...] = ()
    concurrency: Annotated[int, Field(ge=1, le=10_000)] = 32
    lease: Annotated[float, Field(ge=1)] = 10.0
    drain: Annotated[float, Field(ge=0)] = 20.0
    run_timeout: Annotated[float, Field(gt=0)] = 3600.0
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    retry_delay: Annotated[float, Field(ge=0)] = 1.0
    max_effects: Annotated[int, Field(ge=1)] = 10_000
    recursion_limit: Annotated[int, Field(ge=1)] = 10_000


class Price(Section):
    """What a model costs, in US dollars per million tokens. Without their own prices, what a provider reads from its
    cache or writes to it costs what other input does."""

    input: Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
    output: Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]
    cache_read: Annotated[Decimal, Field(ge=0, allow_inf_nan=False)] | None = None
    cache_write: Annotated[Decimal, Field(ge=0, allow_inf_nan=False)] | None = None


class Ledger(Section):
    """The log of decision records. A checkpoint is signed after `checkpoint_records` or `checkpoint_seconds`.

    `key` is the file with the signing key; without, `ledger.key` in `data_dir`. The first service on a new database
    makes the key, for a log called `origin`; one that finds none later signs nothing. Records are published on `topic`
    where one is named.
    """

    origin: str = "gatewright.local/decisions"
    key: Path | None = None
    checkpoint_records: Annotated[int, Field(ge=1)] = 1024
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 5.0
    topic: TopicName = ""


class Config(Section):
    """The whole configuration. Relative paths are relative to the folder of `gatewright.toml`.

    `database` is the URL of a PostgreSQL database that several processes share; without one, everything is in a SQLite
    file of the data directory. `bus` is the address of the Kafka cluster that carries messages, `kafka://HOST:PORT,…`,
    and `kafka` what kafka-python is told besides (`security_protocol`, `sasl_mechanism`, …); without one, messages stay
    in the database. `topics` are those of the bus whose settings are not the default ones. `python_path` holds folders
    that graphs and teams are imported from, beside the installed packages.
    """

    data_dir: Path = Path(".gatewright")
    database: Annotated[str, Field(repr=False)] = ""
    bus: KafkaURL = ""
    kafka: Annotated[dict[str, Any], Field(repr=False)] = Field(default_factory=dict)
    topics: dict[TopicName, Topic] = Field(default_factory=dict)
    python_path: tuple[Path, ...] = ()
    deployments: dict[str, Deployment] = Field(default_factory=lambda: {"support": Deployment(team="support")})
    people: dict[str, Person] = Field(default_factory=dict)
    prices: dict[str, Price] = Field(default_factory=dict)
    server: Server = Server()
    worker: Worker = Worker()
    ledger: Ledger = Ledger()
    notices: Receivers = ()
    mail: Mail = Mail()

    @model_validator(mode="after")
    def _records_go_to_a_durable_topic(self) -> Config:
        topic = self.topics.get(self.ledger.topic)
        if topic is not None and topic.durability == "memory":
            raise ValueError(
                f"ledger.topic is {self.ledger.topic!r}, which keeps its messages in memory; give it the durability "
                "'process' or 'disk'"
            )
        return self

    @model_validator(mode="after")
    def _worker_executes_what_there_is(self) -> Config:
        for name in self.worker.deployments:
            if name not in self.deployments:
                near = difflib.get_close_matches(name, self.deployments, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"configured are {sorted(self.deployments)}"
                raise ValueError(f"worker.deployments names {name!r}, and there is no such deployment; {hint}")
        return self

    @model_validator(mode="after")
    def _tokens_tell_people_apart(self) -> Config:
        owners: dict[str, str] = {}
        if self.server.token:
            owners[hashlib.sha256(self.server.token.encode()).hexdigest()] = "server.token"
        for name, person in self.people.items():
            if name == SERVICE or len(name) > 200 or not NAME.fullmatch(name) or not _one_spelling(name):
                raise ValueError(
                    f"people: {name!r} is no name of a person: words of at most 200 visible characters, in Unicode's "
                    f"form NFC, and not {SERVICE!r}"
                )
            like = owners.setdefault(f"name {name.casefold()}", f"people.{name}")
            if like != f"people.{name}":
                raise ValueError(f"people.{name} cannot be told from {like}; give one of them another name")
            other = owners.setdefault(person.token_sha256, f"people.{name}")
            if other != f"people.{name}":
                raise ValueError(
                    f"people.{name} has the same token as {other}; give each their own: "
                    f"`gatewright people token {name}`"
                )
        return self


_INJECTED = ("tcp://", "udp://", "sctp://")  # how the values of Kubernetes' variables begin
_SECTIONS = ("server", "worker", "ledger")  # those whose keys no variable of somebody's own is likely to be called by


def load(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] = os.environ,
    overrides: Mapping[str, Any] | None = None,
    cwd: Path | None = None,
) -> Config:
    """The configuration of this folder: `overrides`, over the environment, over the file, over the defaults.

    The file is `path`, or the one that `GATEWRIGHT_CONFIG` names, or the nearest `gatewright.toml` (else
    `langgraph.json`) in `cwd` or a folder above it; none is fine. `GATEWRIGHT_SERVER__PORT=8421` sets `server.port`.
    All paths of the result are absolute.

    Raises:
        UsageError: a key is unknown or a value does not fit; the message names the key and where it was written.
        UnavailableError: the file that was named cannot be read.
    """
    here = (cwd or Path.cwd()).resolve()
    named = path or (Path(environ["GATEWRIGHT_CONFIG"]) if environ.get("GATEWRIGHT_CONFIG") else None)
    file = here / named if named else _find(here)
    folder = file.parent if file else here
    sources: dict[tuple[str, ...], str] = {}
    values: dict[str, Any] = {}
    if file:
        _merge(values, _read(file), sources, str(file))
    values.setdefault("deployments", {"support": {"team": "support"}})  # so that a variable may change one key of it
    for name, keys in _variables(environ).items():
        _merge(values, _nest(keys, environ[name]), sources, f"environment variable {name}")
    _merge(values, overrides or {}, sources, "command line")
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise UsageError("\n".join(_explain(detail, sources, file) for detail in error.errors())) from None
    return _absolute(config, folder)


def _find(start: Path) -> Path | None:
    for folder in (start, *start.parents):
        for name in (FILE, MANIFEST):
            if (folder / name).is_file():
                return folder / name
    return None


def _read(file: Path) -> dict[str, Any]:
    if file.name.endswith(".json"):
        from .manifests import read

        return read(file)
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise UnavailableError(f"cannot read the configuration {str(file)!r}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{str(file)!r} is not valid TOML: {error}") from error


def _variables(environ: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The variables that set something, with the keys they set.

    Names without `__` that are no key of ours are left alone: Kubernetes puts `GATEWRIGHT_PORT=tcp://...` and the like
    into every container beside a service of this name.

    Raises:
        UsageError: such a name is a key of ours but for a slip.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name in sorted(environ):
        keys = tuple(name.removeprefix(PREFIX).lower().split("__"))
        if not name.startswith(PREFIX):
            continue
        if "__" in name or keys[0] in Config.model_fields:
            found[name] = keys
        elif (meant := _meant(keys[0])) is not None and not environ[name].startswith(_INJECTED):
            raise UsageError(f"environment variable {name} sets nothing; did you mean {PREFIX}{meant.upper()}?")
    return found


def _meant(key: str) -> str | None:
    """The variable's name, without the prefix, of which this seems to be a slip."""
    section, _, rest = key.partition("_")
    if section in _SECTIONS and rest in _known((section,)):
        return f"{section}__{rest}"
    return next(iter(difflib.get_close_matches(key, Config.model_fields, n=1, cutoff=0.85)), None)


def _nest(keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    for key in reversed(keys):
        value = {key: value}
    return cast("dict[str, Any]", value)


def _merge(
    into: dict[str, Any],
    values: Mapping[str, Any],
    sources: dict[tuple[str, ...], str],
    source: str,
    at: tuple[str, ...] = (),
) -> None:
    for key, value in values.items():
        place = (*at, key)
        sources[place] = source
        if isinstance(value, Mapping):
            inner = into.get(key)
            into[key] = dict(cast("dict[str, Any]", inner)) if isinstance(inner, dict) else {}
            _merge(into[key], cast("Mapping[str, Any]", value), sources, source, place)
        else:
            into[key] = value


def _explain(detail: Any, sources: Mapping[tuple[str, ...], str], file: Path | None) -> str:
    place = tuple(str(part) for part in detail["loc"] if part != "[key]")
    source = next((sources[place[:n]] for n in range(len(place), 0, -1) if place[:n] in sources), str(file))
    key = ".".join(place)
    if detail["type"] == "extra_forbidden":
        known = _known(place[:-1])
        close = difflib.get_close_matches(place[-1], known, n=1)
        remedy = f"did you mean {'.'.join((*place[:-1], close[0]))!r}?" if close else f"known are {', '.join(known)}"
        return f"{source}: unknown key {key!r}; {remedy}"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error":
        return f"{source}: {key!r} {message}" if key else f"{file or 'the configuration'}: {message}"
    return f"{source}: {key!r} is {detail['input']!r}: {message[:1].lower()}{message[1:]}"


def _known(place: tuple[str, ...]) -> list[str]:
    section: Any = Config
    for key in place:
        if get_origin(section) is dict:  # `deployments.NAME`, `people.NAME`
            section = get_args(section)[1]
        elif get_origin(section) is tuple:  # `notices.NUMBER`
            section = get_args(section)[0]
        elif isinstance(section, type) and issubclass(section, BaseModel) and key in section.model_fields:
            section = section.model_fields[key].annotation
    return list(section.model_fields) if isinstance(section, type) and issubclass(section, BaseModel) else []


def _absolute(config: Config, folder: Path) -> Config:
    return config.model_copy(
        update={
            "data_dir": folder / config.data_dir.expanduser(),
            "python_path": tuple(folder / path.expanduser() for path in config.python_path),
            "ledger": config.ledger.model_copy(
                update={"key": folder / config.ledger.key.expanduser() if config.ledger.key else None}
            ),
            "deployments": {
                name: deployment.model_copy(
                    update={
                        "graph": _absolute_graph(deployment.graph, folder),
                        "rules": folder / deployment.rules.expanduser() if deployment.rules else None,
                        "shadow": folder / deployment.shadow.expanduser() if deployment.shadow else None,
                        "policies": {
                            point: chooser.model_copy(
                                update={"file": folder / chooser.file.expanduser() if chooser.file else None}
                            )
                            for point, chooser in deployment.policies.items()
                        },
                    }
                )
                for name, deployment in config.deployments.items()
            },
        }
    )


def _absolute_graph(graph: str, folder: Path) -> str:
    file, colon, attribute = graph.rpartition(":")
    return f"{folder / file}{colon}{attribute}" if file.endswith(".py") else graph
