"""Errors of Gatewright: one class for each reaction a caller can have.

Every message names the value, the limit and the remedy. `exit_code` is what the command line answers with.
"""

from langchain_core.tools import ToolException


class GatewrightError(Exception):
    """Base of all errors that Gatewright raises on purpose."""

    exit_code = 1


class UsageError(GatewrightError):
    """What was asked for is malformed or unknown; correct the request and ask again."""

    exit_code = 2


class NotFoundError(UsageError):
    """The thing that was named does not exist (here, or any more)."""


class ConflictError(GatewrightError):
    """The thing exists but is in a state that does not allow this; look at it before asking again."""

    exit_code = 1


class UnavailableError(GatewrightError):
    """Something Gatewright needs (disk, database, port, data) is missing or refuses; mend it and retry."""

    exit_code = 4


class MissingExtraError(UnavailableError):
    """Packages that only one of Gatewright's extras brings are not installed; install the extra.

    `what` needs it, and `error` is what the import said.
    """

    def __init__(self, what: str, extra: str, error: ImportError) -> None:
        super().__init__(f"{what} needs the extra {extra!r} ({error}); run: pip install 'gatewright[{extra}]'")


class BusyError(UnavailableError):
    """A topic or the bus holds as much as it may, and did not take more within the time given; publish less, or later.

    Nothing of the message was stored.
    """


class IntegrityError(GatewrightError):
    """Stored records contradict their proofs; do not trust them until an auditor has looked.

    `index` is the position of the first record known to be bad, where one is known.
    """

    exit_code = 5

    def __init__(self, message: str, *, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


class OutsideRunError(GatewrightError):
    """Something that only exists while a run is active was used outside of one."""


class ExpiredError(GatewrightError, TimeoutError):
    """What was asked for was not there by its deadline; nobody works on it any more. Do without it, or ask again."""

    exit_code = 3


class DeniedError(GatewrightError, ToolException):
    """A rule or a person refused this effect; it was not performed. The agent may try something else.

    A `ToolException`, so that LangGraph's own tool nodes treat it as what it is: a failed call.
    """


class TerminatedError(GatewrightError):
    """A rule ended the run; no further effect of this run will be performed."""


class DivergenceError(GatewrightError):
    """A step that was executed again asked for other effects than the journal holds.

    The agent's code is not deterministic between its effects (clock, random numbers, changed code). The run
    stops: neither the recorded nor the new effect can be trusted to be what was meant.
    """


class LimitError(GatewrightError):
    """A limit on effects, time or size was reached; raise the limit or look for a loop."""
