"""Many claims desks at once, in NumPy: what the environments of a decision point are made of.

Copy j plays the claims of its own seed in their order, and what one copy does touches no other: the same seed gives the
same claims, whatever the number of copies. The other decision point follows a given policy. An episode is a claim; at
`investigate` those that triage settles are passed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .grid import FINDINGS, INVESTIGATE_GRID, LANES, TRIAGE_GRID, Grid
from .model import DRAWS, OUTCOMES, TRUTHS, Floats, Integers, Model, default, stream
from .optimum import GRIDS, Point, Policies, rules

BLOCK = 64  # claims that each copy draws ahead
REFUSED = -1.0  # the reward of choosing what is closed, in thousands of euros: worse than any option that is open
LEGITIMATE = TRUTHS.index("legitimate")
CELL, TRUTH, STANDARD, SPECIAL, DOCUMENTS, INSPECTION = range(len(OUTCOMES))
APPROVE, REQUEST, INSPECT, DENY = range(len(INVESTIGATE_GRID.point.options))
FAST_TRACK, REJECT = (TRIAGE_GRID.point.options.index(option) for option in ("fast_track", "reject"))
FIRST_LANE = TRIAGE_GRID.point.options.index(LANES[0])  # the other one follows it
STRAIGHT = 4  # the course of a claim that is paid, and nothing else
STRIDES = tuple(int(np.prod(FINDINGS[at + 1 :])) for at in range(len(FINDINGS)))
OF_LANE, OF_ASSESSMENT, OF_DOCUMENTS, OF_INSPECTION = STRIDES  # how far apart cells of the next level are
CELLS_OF_PROFILE = OF_LANE * FINDINGS[0]


class Step(NamedTuple):
    """What a step of n copies gave; the arrays are the caller's to keep.

    `observations`: float32, shape `(n, n_columns)`, those of the next claim where one was settled. `last`: float32,
    shape `(n, n_columns)`, those with which the step ended before the next claim was taken. `rewards`: float64, shape
    `(n,)`, in thousands of euros; the sums of `components`, shape `(n, 6)`, and `REFUSED` where `refused`. `settled`:
    the episode is over; `refused`: because a closed option was chosen. `paid`: the claim was settled by paying it;
    `owed`: it is legitimate, which nobody at the desk can see. All bool, shape `(n,)`.
    """

    observations: NDArray[np.float32]
    last: NDArray[np.float32]
    rewards: Floats
    components: Floats
    settled: NDArray[np.bool_]
    refused: NDArray[np.bool_]
    paid: NDArray[np.bool_]
    owed: NDArray[np.bool_]


def sure(grid: Grid, policy: Floats) -> Integers:
    """What a policy table that leaves nothing to chance chooses, shape `(n_cells,)`.

    Raises:
        ValueError: it leaves something to chance, or chooses what is closed.
    """
    choice: Integers = policy.argmax(axis=1)
    if policy.shape != grid.masks.shape or not (policy[np.arange(grid.size), choice] == 1).all():
        raise ValueError(f"the policy at {grid.point.name!r} must be a table {grid.masks.shape} of zeros and ones")
    if not grid.masks[np.arange(grid.size), choice].all():
        raise ValueError(f"the policy at {grid.point.name!r} chooses options that are closed")
    return choice


def first_cell(model: Model, claims: Integers, lane: Integers) -> Integers:
    """The investigate cell in which claims begin, shape `(n,)`; `claims` are `OUTCOMES`, `lane` counts `LANES`."""
    assessment = np.where(lane == 0, claims[:, STANDARD], claims[:, SPECIAL])
    cell: Integers = model.profile[claims[:, CELL]] * CELLS_OF_PROFILE + lane * OF_LANE + assessment * OF_ASSESSMENT
    return cell


def after(cells: Integers, claims: Integers, action: Integers) -> Integers:
    """The investigate cell after asking for evidence; the same after anything else. All of shape `(n,)`."""
    documents = (action == REQUEST) * claims[:, DOCUMENTS] * OF_DOCUMENTS
    inspection = (action == INSPECT) * claims[:, INSPECTION] * OF_INSPECTION
    found: Integers = cells + documents + inspection
    return found


def fresh_seed() -> int:
    """A seed from the operating system."""
    return int(np.random.SeedSequence().generate_state(1)[0])


class Core:
    """`copies` desks at one decision point; `reset` is called before anything else.

    Args:
        others: what the other point follows, as tables of zeros and ones; the desk's rules without.

    Raises:
        ValueError: that policy is none, or leaves something to chance.
    """

    def __init__(
        self, point: Point, copies: int, *, others: Policies | None = None, model: Model | None = None
    ) -> None:
        self.grid = GRIDS[point]
        self.model = model or default()
        self.copies = copies
        self._triage = point == "triage"
        followed = others or rules()
        self._other = (
            sure(INVESTIGATE_GRID, followed.investigate) if self._triage else sure(TRIAGE_GRID, followed.triage)
        )
        self._courses = self._followed() if self._triage else np.zeros((0, 2, 2), np.int64)
        self._everyone = np.arange(copies)
        self._claims = np.zeros((copies, BLOCK, len(OUTCOMES)), np.int64)
        self._next = np.full(copies, BLOCK)  # the position of the claim after the one that is worked on
        self._now = np.zeros((copies, len(OUTCOMES)), np.int64)
        self._cells = np.zeros(copies, np.int64)
        self._streams: list[np.random.Generator] = []

    def reset(self, seeds: Sequence[int]) -> NDArray[np.float32]:
        """Begin the claims of these seeds, one for each copy; gives the first observations."""
        if len(seeds) != self.copies:
            raise ValueError(f"{len(seeds)} seeds were given for {self.copies} copies")
        self._streams = [stream(seed) for seed in seeds]
        self._next[:] = BLOCK
        return self.skip()

    def skip(self) -> NDArray[np.float32]:
        """Leave the claims that are worked on and take the next ones; gives their observations."""
        self._take(self._everyone)
        return self.grid.observations[self._cells]

    @property
    def started(self) -> bool:
        """Whether claims are worked on: `reset` was called."""
        return bool(self._streams)

    @property
    def masks(self) -> NDArray[np.bool_]:
        """The options that are open now, shape `(copies, 4)`."""
        return self.grid.masks[self._cells]

    @property
    def cells(self) -> Integers:
        """The grid's cell that each copy is in, shape `(copies,)`."""
        return self._cells.copy()

    def step(self, actions: Integers) -> Step:
        """Choose the options at these positions, shape `(copies,)`; copies whose claim is settled take their next one.

        A closed option is refused: nothing is done, and the claim is left for the next one.
        """
        refused = ~self.grid.masks[self._cells, actions]
        owed = self._now[:, TRUTH] == LEGITIMATE
        components, settled, paid = self._triaged(actions) if self._triage else self._investigated(actions)
        rewards = components.sum(axis=1)
        if refused.any():
            components[refused], rewards[refused], settled = 0.0, REFUSED, settled | refused
            paid = paid & ~refused
        last = observations = self.grid.observations[self._cells]
        if settled.any():
            self._take(self._everyone if settled.all() else np.flatnonzero(settled))
            observations = self.grid.observations[self._cells]
        return Step(observations, last, rewards, components, settled, refused, paid, owed)

    def _triaged(self, actions: Integers) -> tuple[Floats, NDArray[np.bool_], NDArray[np.bool_]]:
        """The rest of the claim, with the investigation that follows."""
        claims = self._now
        lane = np.clip(actions - FIRST_LANE, 0, 1)
        course = self._courses[
            first_cell(self.model, claims, lane), claims[:, DOCUMENTS] - 1, claims[:, INSPECTION] - 1
        ]
        course[actions == FAST_TRACK] = STRAIGHT
        course[actions == REJECT] = 0
        components = self.model.components(
            claims[:, CELL], claims[:, TRUTH], actions, course & 1, course >> 1 & 1, course >> 2
        )
        return components, np.ones(self.copies, np.bool_), course >= STRAIGHT

    def _followed(self) -> Integers:
        """How investigations go on from their first cells, shape `(n_cells, 2, 2)` by what evidence will say.

        1 if documents are requested, 2 if the damage is inspected, 4 if the claim is paid, added up.
        """
        shape = (INVESTIGATE_GRID.size, 2, 2)
        start, documents, inspection = (each.ravel() for each in np.indices(shape))
        claims = np.zeros((start.size, len(OUTCOMES)), np.int64)
        claims[:, DOCUMENTS], claims[:, INSPECTION] = documents + 1, inspection + 1
        cells, working = start, start % OF_ASSESSMENT == 0
        paid = np.zeros_like(working)
        while working.any():
            choice = np.where(working, self._other[cells], DENY)
            paid |= choice == APPROVE
            working = (choice == REQUEST) | (choice == INSPECT)
            cells = after(cells, claims, choice)
        found = cells - start
        course: Integers = (found >= OF_DOCUMENTS) + 2 * (found % OF_DOCUMENTS > 0) + STRAIGHT * paid
        return course.reshape(shape)

    def _investigated(self, actions: Integers) -> tuple[Floats, NDArray[np.bool_], NDArray[np.bool_]]:
        model, claims = self.model, self._now
        profile = model.profile[claims[:, CELL]]
        paying = actions == APPROVE
        settled = paying | (actions == DENY)
        asked = (actions == INSPECT).astype(np.int64)
        actions = np.where(self.grid.masks[self._cells, actions], actions, DENY)  # what is closed has no cell
        settlement = model.settlement[paying.astype(np.int64), profile, claims[:, TRUTH]]
        components = np.where(settled[:, None], settlement, model.evidence_cost[1 - asked, asked, profile])
        self._cells = after(self._cells, claims, actions)
        return components, settled, paying

    def _take(self, rows: Integers) -> None:
        """Give these copies their next claims that come to the decision point."""
        while rows.size:
            if (self._next[rows] == BLOCK).any():
                self._refill()
            claims = self._claims[rows, self._next[rows]]
            self._next[rows] += 1
            self._now[rows] = claims
            if self._triage:
                self._cells[rows] = claims[:, CELL]
                return
            lane = self._other[claims[:, CELL]] - FIRST_LANE
            self._cells[rows] = first_cell(self.model, claims, np.clip(lane, 0, 1))
            rows = rows[(lane < 0) | (lane >= len(LANES))]

    def _refill(self) -> None:
        """Draw new claims for all copies that have used half of theirs: seldom one copy at a time."""
        rows = np.flatnonzero(self._next >= BLOCK // 2)
        used = self._next[rows]
        fresh = self.model.draw(
            np.concatenate([self._streams[row].random((count, DRAWS)) for row, count in zip(rows, used, strict=True)])
        )
        positions = np.arange(BLOCK)
        kept = np.take_along_axis(
            self._claims[rows], np.minimum(positions + used[:, None], BLOCK - 1)[..., None], axis=1
        )
        kept[positions >= BLOCK - used[:, None]] = fresh
        self._claims[rows] = kept
        self._next[rows] = 0
