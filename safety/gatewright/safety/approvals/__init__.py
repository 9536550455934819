"""Approvals: questions to people, each bound to one exact action; who may decide, and what their decisions do."""

from .ballots import ANSWERS as ANSWERS
from .ballots import Action as Action
from .ballots import Answer as Answer
from .ballots import Kind as Kind
from .ballots import Request as Request
from .ballots import State as State
from .ballots import Vote as Vote
from .ballots import Voter as Voter
from .ballots import action_digest as action_digest
from .decisions import by_default as by_default
from .decisions import cancel as cancel
from .decisions import consume as consume
from .decisions import decide as decide
from .decisions import edits_alone as edits_alone
from .decisions import expire as expire
from .decisions import following as following
from .decisions import reviewing as reviewing
from .decisions import void as void
from .entitlement import NotEntitledError as NotEntitledError
