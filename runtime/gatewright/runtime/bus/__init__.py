"""The message bus: topics, consumer groups and requests; delivered at least once, in the order of keys."""

from .bus import Bus
from .deliveries import Delivery
from .subscription import Subscription
from .topics import Topic
from .workers import Handler

__all__ = ["Bus", "Delivery", "Handler", "Subscription", "Topic"]
