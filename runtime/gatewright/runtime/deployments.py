"""Deployments as they are loaded: agents' graphs compiled on our checkpointer, rules, world, model."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import itertools
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from importlib.metadata import entry_points
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, cast, get_type_hints

import jsonschema
from jsonschema.exceptions import best_match
from langchain_core.language_models import BaseChatModel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import StateGraph
from langgraph.pregel import Pregel
from pydantic import PydanticUserError, TypeAdapter

from gatewright.agents import Resources, Team
from gatewright.agents.decisions import DecisionPoint, PointPolicy
from gatewright.agents.errors import GatewrightError, UsageError
from gatewright.agents.subscriptions import Subscription
from gatewright.agents.worlds import Conversation, World
from gatewright.safety.rules.events import CLOSES
from gatewright.safety.rules.guard import Guard
from gatewright.safety.rules.packs import Pack
from gatewright.safety.rules.schemas import Tools

from . import config, interception, models, toolcalls
from .meters import Meters
from .scoring import Scoring

if TYPE_CHECKING:
    from .policies.artefact import Artefact

TEAMS = "gatewright.teams"  # entry point group of installed teams


class LoadedAgent:
    """An agent's graph, ready to execute, with what its input must look like."""

    def __init__(self, name: str, graph: Pregel[Any, Any, Any, Any]) -> None:
        self.name = name
        self.graph = graph

    @cached_property
    def input_schema(self) -> dict[str, Any]:
        """The JSON schema of the input, without what a schema cannot say of LangGraph's inputs.

        Every key may be left out (other steps may write it), and messages may be written in many ways.
        """
        try:
            schema = dict(self.graph.get_input_jsonschema())
        except PydanticUserError:  # before Python 3.12 it cannot describe `typing.TypedDict` as a whole
            schema = _by_keys(getattr(getattr(self.graph, "builder", None), "input_schema", object))
        schema.pop("required", None)
        properties = {
            key: {} if _mentions_messages(value, schema.get("$defs", {})) else value
            for key, value in schema.get("properties", {}).items()
        }
        if properties:
            schema |= {"properties": properties, "additionalProperties": False, "type": "object"}
        return schema

    @cached_property
    def _validator(self) -> Any:
        return jsonschema.Draft202012Validator(self.input_schema)

    def check(self, value: Any) -> None:
        """Check an input.

        Raises:
            UsageError: it does not fit the graph, naming the place and the reason.
        """
        if isinstance(value, dict) and (known := self.input_schema.get("properties")):
            for key in value:
                if key not in known:
                    near = difflib.get_close_matches(str(key), known, 1)
                    hint = f"did you mean {near[0]!r}?" if near else f"it takes {sorted(known)}"
                    raise UsageError(f"agent {self.name!r} has no input {key!r}; {hint}")
        problem = best_match(self._validator.iter_errors(value))
        if problem is not None:
            place = "".join(f"[{part!r}]" for part in problem.absolute_path) or "the input itself"
            raise UsageError(f"the input does not fit agent {self.name!r}: {place}: {problem.message}")


def _by_keys(state: type) -> dict[str, Any]:
    """The schema of a typed dictionary from those of its keys; a key that cannot be described takes any value."""
    try:
        hints = get_type_hints(state, include_extras=True)
    except (NameError, TypeError):
        hints = dict.fromkeys(getattr(state, "__annotations__", {}), Any)
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    for key, hint in hints.items():
        try:
            found = TypeAdapter(hint).json_schema()
        except PydanticUserError:
            found = {}
        definitions |= found.pop("$defs", {})
        properties[key] = found
    return {"properties": properties, "$defs": definitions}


class LoadedDeployment:
    """A team behind a name: its agents, the rules it works under, the world its tools act in."""

    def __init__(
        self,
        name: str,
        entry: str,
        agents: Mapping[str, LoadedAgent],
        guard: Guard,
        world: World | None,
        *,
        shadow: Guard | None = None,
        scoring: Scoring | None = None,
        owner: str = "",
        subscriptions: Sequence[Subscription] = (),
        policies: Mapping[str, PointPolicy] | None = None,
    ) -> None:
        """`shadow`: rules on trial; what they say is recorded and changes nothing. `scoring`: its external guards.
        `owner`: who answers for it. `subscriptions`: the topics whose messages it is given. `policies`: what chooses in
        place of decision points' own rules."""
        self.name = name
        self.entry = entry
        self.agents = dict(agents)
        self.guard = guard
        self.shadow = shadow
        self.scoring = scoring
        self.meters: Meters | None = None  # the service that counts sets them
        self.world = world
        self.owner = owner
        self.subscriptions = tuple(subscriptions)
        self.policies = dict(policies or {})

    @property
    def packs(self) -> tuple[Pack, ...]:
        """The rule packs in force, and those on trial."""
        return (*self.guard.packs, *(() if self.shadow is None else self.shadow.packs))

    @property
    def artefacts(self) -> list[Artefact]:
        """The learned policies among what chooses at decision points."""
        if not self.policies:
            return []
        from .policies.serving import LearnedPolicy  # NumPy, which nothing else in the service needs

        return [policy.artefact for policy in self.policies.values() if isinstance(policy, LearnedPolicy)]

    @cached_property
    def colleagues(self) -> frozenset[str]:
        """The names of the agents, who may be sent messages."""
        return frozenset(self.agents)


def load(
    name: str, settings: config.Deployment, *, data_dir: Path, saver: BaseCheckpointSaver[Any]
) -> LoadedDeployment:
    """Load what a deployment names.

    Raises:
        UsageError: it names something that does not exist or is not an agent, with the remedy.
    """
    if bool(settings.team) == bool(settings.graph):
        raise UsageError(f"deployment {name!r} needs either `team` or `graph`, not both and not neither")
    try:
        team = team_of(settings.team) if settings.team else None
        world = None if team is None or not team.world else _world(team, settings, data_dir / "world" / name)
        tools = [] if world is None else list(world.tools())
        if team is None:
            agents = {name: LoadedAgent(name, _compiled(_graph(settings.graph), saver))}
        else:
            resources = Resources(tools={tool.name: tool for tool in tools}, model=_model(settings.model or team.model))
            agents = {
                agent.name: LoadedAgent(agent.name, _compiled(agent.build(resources), saver)) for agent in team.agents
            }
        policies = _policies(settings.policies, None if team is None else team.points)
    except GatewrightError as error:
        raise type(error)(f"deployment {name!r}: {error}") from error
    rules = settings.rules or (team.rules if team is not None else None)
    guard = Guard([_pack(rules, tools)])
    shadow = Guard([_pack(settings.shadow, tools)]) if settings.shadow is not None else None
    if team is not None:
        for pack in (*guard.packs, *(() if shadow is None else shadow.packs)):
            _check_closed(name, pack, team.points)
    scoring = Scoring(settings.guards) if settings.guards else None
    interception.install()  # classes of tools and models that loading has defined
    return LoadedDeployment(
        name,
        team.entry if team is not None else name,
        agents,
        guard,
        world,
        shadow=shadow,
        scoring=scoring,
        owner=settings.owner,
        subscriptions=(*(() if team is None else team.subscriptions), *settings.subscriptions),
        policies=policies,
    )


class Governed(NamedTuple):
    """What a deployment's rules are, and the tools that they are about, None where those are not known beforehand."""

    rules: Path | None
    tools: Tools | None


def governed(settings: config.Deployment) -> Governed:
    """What rule packs of a deployment are checked against, read without a service.

    Raises:
        UsageError: it names something that does not exist.
    """
    team = team_of(settings.team) if settings.team else None
    rules = settings.rules or (team.rules if team is not None else None)
    if team is None or not team.world:
        return Governed(rules, None)
    with TemporaryDirectory(prefix="gatewright-") as state:
        world = _world(team, settings, Path(state))
        try:
            return Governed(rules, _schemas(list(world.tools())))
        finally:
            world.close()


def conversations(settings: config.Deployment, path: Path) -> list[Conversation]:
    """The recorded conversations in a file, read without a service and with the rights of this process.

    Raises:
        UsageError: the deployment has no world, or the file holds no conversations of it.
    """
    team = team_of(settings.team) if settings.team else None
    if team is None or not team.world:
        raise UsageError("the deployment has no world, so it has no recorded conversations to hold")
    with TemporaryDirectory(prefix="gatewright-") as state:
        world = _world(team, settings, Path(state))
        try:
            return world.conversations(path)
        finally:
            world.close()


def _pack(path: Path | None, tools: Sequence[Any]) -> Pack:
    if path is None:
        return Pack.empty()
    if not tools:
        return Pack.load(path)
    return Pack.load(path, tools=_schemas(tools))


def _check_closed(name: str, pack: Pack, points: Sequence[DecisionPoint[Any]]) -> None:
    """Rules that close options are held against the decision points that a team declares; it need not declare all."""
    for rule, point in itertools.product(pack.rules, points):
        if rule.hook != CLOSES or (rule.names is not None and point.name not in rule.names):
            continue
        for option in set(rule.closes) - set(point.options):
            near = difflib.get_close_matches(option, point.options, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {list(point.options)}"
            raise UsageError(
                f"deployment {name!r}: rule {rule.id!r} of {pack.title} closes {option!r}, which is no option of the "
                f"decision point {point.name!r}; {hint}"
            )


def _schemas(tools: Sequence[Any]) -> Tools:
    return {tool.name: toolcalls.tool_schema(tool) for tool in tools}


def team_of(reference: str) -> Team:
    """The team of this name, or at `module:attribute`.

    Raises:
        UsageError: there is none.
    """
    installed = {point.name: point for point in entry_points(group=TEAMS)}
    if reference in installed:
        found = installed[reference].load()
    elif ":" in reference:
        found = _attribute(reference)
    else:
        near = difflib.get_close_matches(reference, installed, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"installed are {sorted(installed)}"
        raise UsageError(f"there is no team {reference!r}; {hint}, or name one as 'module:attribute'")
    if not isinstance(found, Team):
        raise UsageError(f"{reference!r} is a {type(found).__name__}, not a gatewright.agents.Team")
    return found


def _policies(
    choosers: Mapping[str, config.Chooser], points: Sequence[DecisionPoint[Any]] | None
) -> dict[str, PointPolicy]:
    """What chooses at decision points; `points` are those that the team declares, None for a plain graph."""
    if not choosers:
        return {}
    from .policies import artefact, serving  # NumPy, which nothing else in the service needs

    found: dict[str, PointPolicy] = {}
    declared = {point.name: point for point in points or ()}
    for name, chooser in choosers.items():
        if points is not None and name not in declared:
            near = difflib.get_close_matches(name, declared, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it declares {sorted(declared)} in `Team.points`"
            raise UsageError(f"there is a policy for {name!r}, which is no decision point of the team; {hint}")
        if chooser.file is None:
            found[name] = serving.Exploring(chooser.explore)
        else:
            found[name] = serving.LearnedPolicy(artefact.load(chooser.file, version=chooser.version or None))
        if name in declared:
            found[name].at(declared[name])  # now rather than when a customer waits
    return found


def _world(team: Team, settings: config.Deployment, state: Path) -> World:
    state.mkdir(parents=True, exist_ok=True)
    return cast("World", _attribute(team.world)(state, settings.world))


def _model(name: str) -> BaseChatModel | None:
    return models.named(name) if name else None


def _graph(reference: str) -> Any:
    found = _attribute(reference)
    if not isinstance(found, Pregel | StateGraph) and callable(found):
        parameters = inspect.signature(found).parameters
        found = found({}) if parameters else found()
    return found


def _compiled(graph: Any, saver: BaseCheckpointSaver[Any]) -> Pregel[Any, Any, Any, Any]:
    if isinstance(graph, StateGraph):
        return graph.compile(checkpointer=saver)
    if isinstance(graph, Pregel):
        return graph.copy(update={"checkpointer": saver})
    raise UsageError(
        f"a {type(graph).__name__} is not an agent; give a StateGraph, a compiled graph, or a function that makes one"
    )


def _attribute(reference: str) -> Any:
    """What `module:attribute` or `path/to/file.py:attribute` names."""
    place, _, attribute = reference.rpartition(":")
    if not place or not attribute:
        raise UsageError(
            f"{reference!r} does not name anything; write 'module:attribute' or 'path/to/file.py:attribute'"
        )
    module = _file(Path(place)) if place.endswith(".py") else _module(place)
    try:
        return getattr(module, attribute)
    except AttributeError:
        near = difflib.get_close_matches(attribute, vars(module), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UsageError(f"{place!r} has no {attribute!r}{hint}") from None


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise UsageError(f"module {name!r} cannot be imported: {error}; install it or correct the name") from error


def _file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"there is no file {str(path)!r}; paths are relative to the folder of gatewright.toml")
    name = f"gatewright_agents_{path.stem}_{abs(hash(path.resolve())):x}"
    if name in sys.modules:
        return sys.modules[name]
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UsageError(f"{str(path)!r} cannot be loaded: {type(error).__name__}: {error}") from error
    return module


_MESSAGES = ("AIMessage", "HumanMessage", "ToolMessage", "BaseMessage")


def _mentions_messages(schema: Any, definitions: Mapping[str, Any]) -> bool:
    """Whether a property's schema is one of LangChain's messages, directly or through its definitions."""
    pending: list[Any] = [schema]
    seen: set[str] = set()
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            reference = part.get("$ref")
            if isinstance(reference, str):
                name = reference.rsplit("/", 1)[-1]
                if name in _MESSAGES:
                    return True
                if name not in seen:
                    seen.add(name)
                    pending.append(definitions.get(name))
            pending.extend(cast("Iterable[Any]", part.values()))
        elif isinstance(part, list):
            pending.extend(part)
    return False
