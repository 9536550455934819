"""The network side of kafka-python's clients, where it is not quite as kafka-python makes it."""

from __future__ import annotations

import socket
from typing import Any

from kafka import errors
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector

DIRECT = "direct://"
"""The address of the proxy that is none: by its scheme kafka-python finds `DirectSocket`."""

CHUNK = 64 * 1024  # bytes
LOOK = 100.0  # milliseconds


class Connection(socket.socket):
    """A TCP connection whose end comes by itself.

    kafka-python reads until there is nothing more, and when it meets the end it drops what it has read: so it would
    never see why a broker refused a password. It also reads 4 KiB at a time.
    """

    _end_waits = False

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """As a socket's, in larger pieces, and with the end of the stream at the next event."""
        data = super().recv(max(bufsize, CHUNK), flags)
        if data:
            self._end_waits = True
        elif self._end_waits:
            self._end_waits = False
            raise BlockingIOError
        return data

    def __del__(self) -> None:
        """Nobody closes a connection that is being made when its client is closed."""
        self.close()


class DirectSocket(KafkaNetSocket):  # type: ignore[misc]  # kafka-python has no annotations
    """Connects without a proxy. Unlike kafka-python's own it closes what could not be connected.

    kafka-python leaves those to the garbage collector, one after the other for as long as a broker is away.
    """

    SCHEMES = ("direct",)

    def socket(self, family: int = -1, sock_type: int = -1, proto: int = -1) -> Connection:
        """A socket that is not connected yet."""
        return Connection(family, sock_type, proto)

    async def sock_connect(self, net: Any, sock: Any, sockaddr: Any, timeout_at: float | None = None) -> Any:
        """The socket, connected."""
        try:
            return await super().sock_connect(net, sock, sockaddr, timeout_at=timeout_at)
        except BaseException:
            sock.close()
            raise


class _Manager(KafkaConnectionManager):  # type: ignore[misc]
    """Connections, of which the first does not try again with a password that was refused.

    kafka-python means to stop, but loses the refusal on its way and then reports that nobody answered.
    """

    _refusal: BaseException | None = None

    def get_connection(self, node_id: Any, *arguments: Any, **options: Any) -> Any:
        """As kafka-python's."""
        if self._refusal is not None and self.cluster.is_bootstrap(node_id):
            raise self._refusal
        connection = super().get_connection(node_id, *arguments, **options)
        if not connection.init_future.is_done and self.cluster.is_bootstrap(node_id):
            connection.init_future.add_errback(self._remember)
        return connection

    def has(self, node_id: Any) -> bool:
        """Whether there is a connection to a node, or one is being made."""
        return node_id in self._conns

    def _remember(self, error: BaseException) -> None:
        if isinstance(error, errors.SaslAuthenticationFailedError):
            self._refusal = error


class _Client(KafkaNetClient):  # type: ignore[misc]
    """A network client that lets the producer sleep.

    While a connection is being made, or has as many requests under way as it may, kafka-python's producer asks without
    pause whether it is ready, and keeps all threads of the process from running: for as long as a broker hangs.
    """

    def __init__(self, net: Any, manager: _Manager, **options: Any) -> None:
        super().__init__(net, manager, **options)
        self._connections = manager

    def connection_delay(self, node_id: Any) -> float:
        """Milliseconds after which to look at a node again, unless something happens there before."""
        if self._connections.has(node_id):
            return LOOK
        delay: float = super().connection_delay(node_id) * 1000  # the producer takes its seconds for milliseconds
        return delay


def client(**options: Any) -> Any:
    """What kafka-python's producers, consumers and admins use for the network, from their options."""
    net = NetworkSelector(**options)
    return _Client(net, _Manager(net, **options), **options)
