"""The way of messages between the log of this database and Kafka, which carries them to other hosts and to others.

Kafka is transport alone. A message that is published waits in the log (the outbox), in the transaction that published
it, until Kafka has it; a record that is read goes into the log (the inbox) in the transaction that moves our own
position, once for each id. What a message means to a group, its order, retries and dead letters are the log's.
"""

from .bridge import Bridge, outboxes

__all__ = ["Bridge", "outboxes"]
