"""The tables, as SQLModel. Alembic holds their history; the hot paths write them through compiled statements.

Times are integer microseconds since the epoch, UTC. JSON is stored as text, recorded values as typed bytes.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, Integer, LargeBinary, Text, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel


class Table(SQLModel, registry=registry()):
    """Base of our tables, apart from those of agents that use SQLModel themselves."""


BIG = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows by itself only for INTEGER
COMPACT = {"sqlite_with_rowid": False}
"""For small rows that are found by their key alone: SQLite keeps them in its index, and writes half as many pages."""


def _present(name: str, column: str) -> Index:
    """An index of the rows that have a value: those that have none yet are written without it."""
    where = text(f"{column} IS NOT NULL")
    return Index(name, column, sqlite_where=where, postgresql_where=where)


class Thread(Table, table=True):
    """One case or conversation. `salt` keys the digests of its effects; it is erased together with their values."""

    id: str = Field(primary_key=True)
    deployment: str
    agent: str
    case_id: str = Field(index=True)
    settings: str = Field(default="{}", sa_type=Text)
    metadata_: str = Field(default="{}", sa_type=Text, sa_column_kwargs={"name": "metadata"})
    salt: bytes = Field(sa_type=LargeBinary)
    created_at: int = Field(sa_type=BigInteger)
    closed_at: int | None = Field(default=None, sa_type=BigInteger)


class Run(Table, table=True):
    """One execution on a thread. `number` gives the order of acceptance; `epoch` fences off earlier holders.

    `available_at` is when a queued run may be claimed; null while an earlier run of its thread is unfinished. `input`
    is needed until the run has ended; then input and output are sealed values of the record at `leaf`. `holder` is the
    worker that executes it, whose lease is in `Worker`. `requester` is
    who started it, where that is proven; agents that it asks act for the same person. `admitted` is what rules said of
    the input, and made of it. `cause` is what is known of the message that started it, as JSON; null where none did.
    `deadline` is when nobody needs its result any more.
    """

    __table_args__ = (
        # one run at a time per thread, whatever the code believes
        Index(
            "run_active",
            "thread_id",
            unique=True,
            sqlite_where=text("status IN ('running', 'waiting')"),
            postgresql_where=text("status IN ('running', 'waiting')"),
        ),
        Index("run_queue", "status", "available_at", "number"),
        Index("run_thread", "thread_id", "number"),
        Index("run_case", "case_id", "number"),
        _present("run_leaf", "leaf"),
        _present("run_parent", "parent_run_id"),
        Index(
            "run_deadline",
            "deadline",
            sqlite_where=text("deadline IS NOT NULL AND finished_at IS NULL"),
            postgresql_where=text("deadline IS NOT NULL AND finished_at IS NULL"),
        ),
    )

    number: int = Field(primary_key=True, sa_type=BIG)
    id: str = Field(unique=True)
    thread_id: str = Field(foreign_key="thread.id")
    case_id: str
    deployment: str
    agent: str
    status: str
    epoch: int = 0
    attempt: int = 0
    crashes: int = 0
    holder: str | None = None
    available_at: int | None = Field(default=None, sa_type=BigInteger)
    input: bytes | None = Field(default=None, sa_type=LargeBinary)
    admitted: str | None = Field(default=None, sa_type=Text)
    leaf: int | None = Field(default=None, sa_type=BigInteger)
    error: str | None = Field(default=None, sa_type=Text)
    waiting_for: str = Field(default="[]", sa_type=Text)
    parent_run_id: str | None = None
    requester: str | None = None
    cause: str | None = Field(default=None, sa_type=Text)
    deadline: int | None = Field(default=None, sa_type=BigInteger)
    created_at: int = Field(sa_type=BigInteger)
    started_at: int | None = Field(default=None, sa_type=BigInteger)
    finished_at: int | None = Field(default=None, sa_type=BigInteger)


class Worker(Table, table=True):
    """A process that works on the database. It holds its runs and duties until it has left, or `lease_until` is over
    and somebody has found it `lost`: times are the database's own."""

    __table_args__ = (Index("worker_lease", "state", "lease_until"),)

    id: str = Field(primary_key=True)
    kind: str
    host: str
    pid: int
    process: str
    deployments: str = Field(sa_type=Text)
    concurrency: int
    state: str
    started_at: int = Field(sa_type=BigInteger)
    seen_at: int = Field(sa_type=BigInteger)
    lease_until: int = Field(sa_type=BigInteger)


class Duty(Table, table=True):
    """Work that one process at a time does for all: what its holder writes for it begins with a look at this row."""

    name: str = Field(primary_key=True)
    holder: str


class Effect(Table, table=True):
    """The journal: one row for each effect of a run, at the place where it was asked for.

    `status`: `asked` (waits for a person) · `intended` (the world may have been touched) · `parked` (it waits for
    something inside it) · `done` (`outcome` is known) · `released` (it failed and may be performed again).
    """

    __table_args__ = (_present("effect_leaf", "leaf"), COMPACT)

    run_id: str = Field(primary_key=True, foreign_key="run.id")
    key: str = Field(primary_key=True)
    step: str
    kind: str
    name: str
    digest: str
    status: str
    attempt: int = 1
    epoch: int
    outcome: str | None = None
    leaf: int | None = Field(default=None, sa_type=BigInteger)
    guard: str | None = Field(default=None, sa_type=Text)
    child_run_id: str | None = None
    started_at: int = Field(sa_type=BigInteger)


class Approval(Table, table=True):
    """A request to people; `request` is the state machine's own JSON, the other columns are for looking it up.

    `due_at` is when anything happens to it by itself: a reminder, a step of its escalation, its end.
    """

    __table_args__ = (
        Index("approval_state", "state", "number"),
        Index("approval_place", "deployment", "state", "number"),
        Index("approval_run", "run_id", "key"),
        Index(
            "approval_due",
            "due_at",
            sqlite_where=text("state = 'open' AND due_at IS NOT NULL"),
            postgresql_where=text("state = 'open' AND due_at IS NOT NULL"),
        ),
    )

    number: int = Field(primary_key=True, sa_type=BIG)
    id: str = Field(unique=True)
    run_id: str = Field(foreign_key="run.id")
    key: str
    kind: str
    thread_id: str
    case_id: str = Field(index=True)
    deployment: str
    agent: str
    state: str
    request: str = Field(sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)
    decided_at: int | None = Field(default=None, sa_type=BigInteger)
    due_at: int | None = Field(default=None, sa_type=BigInteger)


class Summons(Table, table=True):
    """Who may decide an open request now: `called` is the JSON list of the roles that one person must hold together,
    or `name:PERSON`. So that people find theirs among all that wait."""

    __table_args__ = (Index("summons_number", "number"),)

    called: str = Field(primary_key=True)
    number: int = Field(primary_key=True, sa_type=BIG, foreign_key="approval.number")


class Barred(Table, table=True):
    """Who may not decide an open request: a party to it, or somebody who has voted on it."""

    __table_args__ = (Index("barred_number", "number"),)

    name: str = Field(primary_key=True)
    number: int = Field(primary_key=True, sa_type=BIG, foreign_key="approval.number")


class Delegation(Table, table=True):
    """A person's leave for another to vote in their place; `delegation` is its JSON."""

    __table_args__ = (Index("delegation_parties", "giver", "receiver", "until_at"),)

    number: int = Field(primary_key=True, sa_type=BIG)
    id: str = Field(unique=True)
    giver: str
    receiver: str = Field(index=True)
    delegation: str = Field(sa_type=Text)
    until_at: int = Field(sa_type=BigInteger)
    revoked_at: int | None = Field(default=None, sa_type=BigInteger)
    created_at: int = Field(sa_type=BigInteger)


class Grant(Table, table=True):
    """Leave for actions like one that a person approved; `grant_` is its JSON. `place` is the run or thread that it
    reaches, empty for all."""

    __table_args__ = (Index("grant_place", "deployment", "agent", "name", "place"),)

    number: int = Field(primary_key=True, sa_type=BIG)
    id: str = Field(unique=True)
    deployment: str
    agent: str
    name: str
    place: str
    grant_: str = Field(sa_type=Text)
    until_at: int | None = Field(default=None, sa_type=BigInteger)
    revoked_at: int | None = Field(default=None, sa_type=BigInteger)
    created_at: int = Field(sa_type=BigInteger)


class Meter(Table, table=True):
    """What somebody has used of a budget, added up in the parts (`slot`) of its window. `budget` is the budget's key,
    `holder` the run, case or agent, empty for the deployment.

    Amounts are micro-dollars, milliseconds, tokens or calls; `expires_at` is null where nothing expires.
    """

    __table_args__ = (Index("meter_expiry", "expires_at"),)

    deployment: str = Field(primary_key=True)
    budget: str = Field(primary_key=True)
    holder: str = Field(primary_key=True)
    slot: int = Field(primary_key=True, sa_type=BigInteger)
    used: int = Field(sa_type=BigInteger)
    expires_at: int | None = Field(default=None, sa_type=BigInteger)


class Reservation(Table, table=True):
    """What a call under way may take of a budget, where several processes share the database. `worker` makes the call,
    in the run that it executes; once it was found lost this counts no longer. `id` is that of the call."""

    __table_args__ = (Index("reservation_holder", "deployment", "budget", "holder"),)

    id: str = Field(primary_key=True)
    deployment: str
    budget: str = Field(primary_key=True)
    holder: str
    amount: int = Field(sa_type=BigInteger)
    worker: str
    run_id: str
    created_at: int = Field(sa_type=BigInteger)


class Pause(Table, table=True):
    """A deployment that performs no effects until somebody resumes it."""

    deployment: str = Field(primary_key=True)
    by: str
    reason: str = Field(sa_type=Text)
    since: int = Field(sa_type=BigInteger)


class Pack(Table, table=True):
    """A rule pack that a service has worked under, as it was written; records name it by its `title`."""

    digest: str = Field(primary_key=True)
    title: str = Field(index=True)
    text: str = Field(sa_type=Text)
    first_seen: int = Field(sa_type=BigInteger)


class Waiver(Table, table=True):
    """A rule that does not count for a while; `scope` is its JSON."""

    __table_args__ = (Index("waiver_until", "until_at"),)

    number: int = Field(primary_key=True, sa_type=BIG)
    id: str = Field(unique=True)
    rule_id: str
    scope: str = Field(sa_type=Text)
    by: str
    reason: str = Field(sa_type=Text)
    until_at: int = Field(sa_type=BigInteger)
    revoked_at: int | None = Field(default=None, sa_type=BigInteger)
    revoked_by: str | None = None
    created_at: int = Field(sa_type=BigInteger)


class Leaf(Table, table=True):
    """A decision record in the ledger: the very bytes that were hashed. Rows are never updated nor deleted.

    `id` is a mere name; a record's place in the log is the `position` of its `Place`, and it has none while it is
    `Pending`. In a SQLite file the two numbers are the same.
    """

    __table_args__ = (Index("leaf_run", "run_id", "id"), Index("leaf_case", "case_id", "id"))

    id: int = Field(primary_key=True, sa_type=BIG)
    kind: str
    run_id: str | None = None
    case_id: str | None = None
    body: bytes = Field(sa_type=LargeBinary)


class Place(Table, table=True):
    """A record's place in the log, and its leaf hash: level 0 of the Merkle tree. Rows are never updated or deleted."""

    position: int = Field(primary_key=True, sa_type=BIG, sa_column_kwargs={"autoincrement": False})
    leaf: int = Field(unique=True, sa_type=BigInteger)
    hash: bytes = Field(sa_type=LargeBinary)


class Pending(Table, table=True):
    """A record that has no place in the tree yet, in a database with several writers.

    `number` is given when the writer has all locks of its transaction, `id` of `Leaf` before that: so the records of
    one run have their order by `number`.
    """

    number: int = Field(primary_key=True, sa_type=BIG)
    leaf: int = Field(sa_type=BigInteger)
    hash: bytes = Field(sa_type=LargeBinary)


class Log(Table, table=True):
    """The one row of the ledger as a whole. `key`: whose signature its checkpoints bear, empty while nobody has a key.

    Who gives records their places locks it.
    """

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    key: str = Field(default="", sa_type=Text)


class Node(Table, table=True):
    """A complete inner node of the ledger's Merkle tree (level 0 are the places of records)."""

    __table_args__ = COMPACT

    level: int = Field(primary_key=True)
    position: int = Field(primary_key=True, sa_type=BigInteger)
    hash: bytes = Field(sa_type=LargeBinary)


class Sealed(Table, table=True):
    """A value that a record only commits to; deleting the row erases it and leaves every proof valid."""

    leaf: int = Field(primary_key=True, sa_type=BigInteger)
    field: str = Field(primary_key=True)
    type: str
    value: bytes = Field(sa_type=LargeBinary)
    salt: bytes = Field(sa_type=LargeBinary)


class Checkpoint(Table, table=True):
    """A signed head of the ledger (C2SP signed note)."""

    size: int = Field(primary_key=True, sa_type=BigInteger)
    note: str = Field(sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)


class Commit(Table, table=True):
    """How many transactions a process' writer has begun, as of the last one that was committed; on PostgreSQL only."""

    writer: str = Field(primary_key=True)
    number: int = Field(sa_type=BigInteger)
    at: int = Field(sa_type=BigInteger)


class Feed(Table, table=True):
    """Events of runs for those who watch them from other processes. `seq` is a time; some minutes after it the event is
    dropped. On PostgreSQL only, where the table is unlogged: after a crash of the server it is empty."""

    __table_args__ = (Index("feed_seq", "seq"),)

    run_id: str = Field(primary_key=True)
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    type: str
    data: bytes = Field(sa_type=LargeBinary)


class Receiver(Table, table=True):
    """Who is told of what, as configured when the service was opened: `wants` is JSON (events, roles, deployments)."""

    name: str = Field(primary_key=True)
    wants: str = Field(sa_type=Text)


class Notice(Table, table=True):
    """A message to one receiver, written with what it tells of. `due_at`: of the next attempt, or of the last one."""

    __table_args__ = (
        Index("notice_due", "receiver", "state", "due_at", "number"),
        Index("notice_state", "state", "number"),
        Index("notice_subject", "subject_id", "event", "created_at"),
    )

    number: int = Field(primary_key=True, sa_type=BIG)
    id: str = Field(unique=True)
    receiver: str
    event: str
    subject_id: str
    facts: str = Field(sa_type=Text)
    state: str
    attempts: int = 0
    due_at: int = Field(sa_type=BigInteger)
    error: str | None = Field(default=None, sa_type=Text)
    created_at: int = Field(sa_type=BigInteger)


class Publication(Table, table=True):
    """Up to which position of the log (excluded) decision records have been published on a topic."""

    topic: str = Field(primary_key=True)
    position: int = Field(sa_type=BigInteger)


class Topic(Table, table=True):
    """A topic of the bus, as it was when somebody first used it: its number of partitions never changes."""

    name: str = Field(primary_key=True)
    partitions: int
    created_at: int = Field(sa_type=BigInteger)


class Head(Table, table=True):
    """The offset that the next message of a partition gets. Whoever appends to the partition locks its row."""

    topic: str = Field(primary_key=True)
    partition: int = Field(primary_key=True)
    next: int = Field(default=0, sa_type=BigInteger)


class Message(Table, table=True):
    """A message as it was published: `body` is its envelope in JSON. Offsets of a partition have no gaps.

    In a partition, `number` ascends with `offset`. Messages are found by it, since an index of partitions and offsets
    would be written to in as many places as there are partitions, with every commit.
    """

    __table_args__ = (
        Index("message_id", "topic", "id", unique=True),
        Index("message_topic", "topic", "number", "partition"),
    )

    number: int = Field(primary_key=True, sa_type=BIG)
    topic: str
    partition: int
    offset: int = Field(sa_type=BigInteger)
    id: str
    key: str | None = None
    body: bytes = Field(sa_type=LargeBinary)
    created_at: int = Field(sa_type=BigInteger)


class Inbox(Table, table=True):
    """How far a partition of a Kafka topic has been read into the log: the offset of the next record."""

    topic: str = Field(primary_key=True)
    partition: int = Field(primary_key=True)
    next: int = Field(sa_type=BigInteger)


class Cursor(Table, table=True):
    """How far a consumer group is in a partition, and which member has it until when.

    Everything below `position` is settled for the group; messages of the partition that are not have numbers above
    `since`. `epoch` counts claims and fences off earlier holders.
    `deaths` counts holders in a row that died (let the lease run out) over something unsettled, without bringing the
    position beyond `reached`.
    """

    topic: str = Field(primary_key=True)
    group: str = Field(primary_key=True)
    partition: int = Field(primary_key=True)
    position: int = Field(default=0, sa_type=BigInteger)
    since: int = Field(default=0, sa_type=BigInteger)
    holder: str | None = None
    epoch: int = 0
    until: int = Field(default=0, sa_type=BigInteger)
    reached: int = Field(default=0, sa_type=BigInteger)
    deaths: int = 0


class Member(Table, table=True):
    """A subscription that takes part in a consumer group, so that the others know how many share its partitions."""

    topic: str = Field(primary_key=True)
    group: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    until: int = Field(sa_type=BigInteger)


class Settled(Table, table=True):
    """A message that its group has settled ahead of the position."""

    topic: str = Field(primary_key=True)
    group: str = Field(primary_key=True)
    partition: int = Field(primary_key=True)
    offset: int = Field(primary_key=True, sa_type=BigInteger)


class Parked(Table, table=True):
    """A message that waits for its next attempt, or behind one of its key that does: then `due_at` is null.

    `number` is the message's. What was a dead letter has none and brings its `body`: the message may be gone.
    """

    __table_args__ = (Index("parked_key", "topic", "group", "partition", "key", "offset"),)

    topic: str = Field(primary_key=True)
    group: str = Field(primary_key=True)
    partition: int = Field(primary_key=True)
    offset: int = Field(primary_key=True, sa_type=BigInteger)
    key: str | None = None
    attempts: int = 0
    due_at: int | None = Field(default=None, sa_type=BigInteger)
    number: int | None = Field(default=None, sa_type=BigInteger)
    body: bytes | None = Field(default=None, sa_type=LargeBinary)


class DeadLetter(Table, table=True):
    """A message that a group could not handle. `state`: `dead` · `redriving` (on its way back) · `redriven`."""

    __tablename__ = "dead_letter"  # pyright: ignore[reportAssignmentType]  # SQLModel wants a declared_attr
    __table_args__ = (
        Index("dead_letter_state", "state", "topic", "group", "number"),
        Index("dead_letter_place", "topic", "group", "number"),
    )

    number: int = Field(primary_key=True, sa_type=BIG)
    id: str = Field(unique=True)
    topic: str
    group: str
    partition: int
    offset: int = Field(sa_type=BigInteger)
    key: str | None = None
    message_id: str
    reason: str
    detail: str | None = Field(default=None, sa_type=Text)
    stack: str | None = Field(default=None, sa_type=Text)
    attempts: int
    body: bytes = Field(sa_type=LargeBinary)
    state: str
    created_at: int = Field(sa_type=BigInteger)
    redriven_at: int | None = Field(default=None, sa_type=BigInteger)


METADATA = Table.metadata
