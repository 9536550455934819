"""One case's view of the shop: the shared data set with the case's own changes laid over it."""

from __future__ import annotations

from gatewright.environments.rows import Change, Overlay, Rows

from .dataset import Dataset


class Case:
    """What an operation works on. Products never change: the shop takes its time to update its stock."""

    def __init__(self, dataset: Dataset, overlay: Overlay) -> None:
        self.dataset = dataset
        self.products = dataset.products
        self.users = Rows("users", dataset.users, overlay)
        self.orders = Rows("orders", dataset.orders, overlay)

    def changes(self) -> list[Change]:
        """All rows that this case changed, in the order they were taken, table by table."""
        return [change for rows in (self.users, self.orders) for change in rows.changes()]

    def customers(self) -> set[str]:
        """The customers that this case was about: those looked up, and those of the orders looked up."""
        return self.orders.owners("user_id") | self.users.seen
