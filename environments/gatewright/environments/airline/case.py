"""One case's view of the airline: the shared data set with the case's own changes laid over it."""

from __future__ import annotations

from gatewright.environments.rows import NO_ROWS, Change, Overlay, Rows

from .dataset import Dataset


class Case:
    """What an operation works on.

    Flights never change: the airline takes its time to update seats. `transfers` says whether the customer was
    handed over to a person.
    """

    def __init__(self, dataset: Dataset, overlay: Overlay) -> None:
        self.dataset = dataset
        self.flights = dataset.flights
        self.reservations = Rows("reservations", dataset.reservations, overlay)
        self.users = Rows("users", dataset.users, overlay)
        self.transfers = Rows("transfers", NO_ROWS, overlay)

    def changes(self) -> list[Change]:
        """All rows that this case changed or added, in the order they were taken, table by table."""
        return [change for rows in (self.reservations, self.users, self.transfers) for change in rows.changes()]

    def customers(self) -> set[str]:
        """The customers that this case was about: those looked up, and the owners of the reservations looked up."""
        return self.reservations.owners("user_id") | self.users.seen
