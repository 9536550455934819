"""Who is told of what: the `[[notices]]` and `[mail]` of the configuration."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from gatewright.agents.errors import UsageError
from gatewright.runtime.addresses import is_loopback

Kind = Literal["webhook", "email", "slack"]

EventName = Literal[
    "approval.opened",
    "approval.reminder",
    "approval.escalated",
    "approval.expired",
    "approval.decided",
    "budget.hit",
    "deployment.paused",
]

TEST = "notice.test"
"""The event of `gatewright notices test`; no receiver needs to list it."""

EVENTS: tuple[EventName, ...] = get_args(EventName)
KEY_BYTES = range(24, 65)  # what Standard Webhooks allows
MOST_KEYS = 2  # the one in use and the one that follows it

_PREFIX = "whsec_"
_MAIL_ADDRESS = re.compile(r"[^\s@<>,;:\"()\[\]\\]+@[^\s@<>,;:\"()\[\]\\]+")


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Receiver(_Section):
    """One address that is told of `events`, of these `deployments` and what these `roles` may decide (else of all).

    `to` is an https address (http on loopback only) or an e-mail address; `to_env` names the environment variable
    that holds it, for an address that is a secret itself. `secret` signs webhooks: `whsec_` and 24 to 64 bytes in
    base64; while one is being replaced there are two, and both sign. `secret_env` names the variables that hold them.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    kind: Kind = "webhook"
    to: str = Field(default="", repr=False)
    to_env: str = ""
    events: Annotated[tuple[EventName, ...], BeforeValidator(_listed)] = EVENTS
    roles: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    deployments: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    secret: Annotated[tuple[SecretStr, ...], BeforeValidator(_listed)] = ()
    secret_env: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if bool(self.to) == bool(self.to_env):
            raise ValueError(f"receiver {self.name!r} needs either `to` or `to_env`")
        if self.to:
            check_address(self.kind, self.to)
        keys = len(self.secret) + len(self.secret_env)
        if self.kind == "webhook" and not keys:
            raise ValueError(f"webhook {self.name!r} needs a `secret` or `secret_env` to sign with")
        if self.kind != "webhook" and keys:
            raise ValueError(f"receiver {self.name!r} is no webhook, so nothing of it is signed; leave `secret` out")
        if keys > MOST_KEYS:
            raise ValueError(f"webhook {self.name!r} has {keys} secrets; at most {MOST_KEYS}: the old and the new one")
        for secret in self.secret:
            key(secret.get_secret_value())
        return self

    def address(self, environ: Mapping[str, str] = os.environ) -> str:
        """Where its messages go.

        Raises:
            UsageError: the environment variable is not set, or holds no address that may be used.
        """
        if self.to:
            return self.to
        found = _variable(self.name, self.to_env, environ)
        try:
            check_address(self.kind, found)
        except ValueError as error:
            raise UsageError(f"environment variable {self.to_env} of receiver {self.name!r}: {error}") from error
        return found

    def keys(self, environ: Mapping[str, str] = os.environ) -> list[bytes]:
        """What its messages are signed with, each with every one.

        Raises:
            UsageError: an environment variable is not set, or holds no secret of that form.
        """
        found = [key(secret.get_secret_value()) for secret in self.secret]
        for name in self.secret_env:
            try:
                found.append(key(_variable(self.name, name, environ)))
            except ValueError as error:
                raise UsageError(f"environment variable {name} of receiver {self.name!r}: {error}") from error
        return found


class Mail(_Section):
    """The server that takes e-mail. It is spoken to over TLS, unless it is on this machine.

    `security`: `starttls` upgrades the connection before anything is said, `tls` begins with it. `password_env` names
    the environment variable that holds the password.
    """

    host: str = ""
    port: Annotated[int, Field(ge=1, le=65535)] = 587
    security: Literal["starttls", "tls", "none"] = "starttls"
    sender: str = ""
    username: str = ""
    password: SecretStr = SecretStr("")
    password_env: str = ""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.security == "none" and not is_loopback(self.host):
            raise ValueError(f"host {self.host!r} is not on this machine; use security = 'starttls' or 'tls'")
        if self.security == "none" and self.username:
            raise ValueError("a password is not sent without TLS; use security = 'starttls' or 'tls'")
        if self.host:
            check_address("email", self.sender)
        return self

    def secret(self, environ: Mapping[str, str] = os.environ) -> str:
        """The password.

        Raises:
            UsageError: the environment variable is not set.
        """
        return _variable("mail", self.password_env, environ) if self.password_env else self.password.get_secret_value()


def _apart(receivers: tuple[Receiver, ...]) -> tuple[Receiver, ...]:
    names = [receiver.name for receiver in receivers]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"has two receivers named {twice[0]!r}; give each a name of its own")
    return receivers


Receivers = Annotated[tuple[Receiver, ...], AfterValidator(_apart)]


def check_address(kind: Kind, to: str) -> None:
    """Check that messages may be sent to an address.

    Raises:
        ValueError: it is not of the receiver's kind, or would be reached without TLS over a network.
    """
    if kind == "email":
        if not _MAIL_ADDRESS.fullmatch(to) or not to.isascii():
            raise ValueError(f"{to!r} is no e-mail address; write it as name@host, without a display name")
        return
    parts = urlsplit(to)
    if not to.isprintable() or " " in to or parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("the address is no https address")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(f"host {parts.hostname!r} would be reached without TLS; use https")
    if parts.username is not None or parts.fragment:
        raise ValueError("an address has neither user name nor fragment here; sign with `secret` instead")


def key(secret: str) -> bytes:
    """The bytes that a secret stands for.

    Raises:
        ValueError: it is not `whsec_` and 24 to 64 bytes in base64. The message does not show it.
    """
    try:
        found = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not secret.startswith(_PREFIX) or len(found) not in KEY_BYTES:
        raise ValueError(
            f"a secret is {_PREFIX!r} and {KEY_BYTES.start} to {KEY_BYTES.stop - 1} bytes in base64; make one with "
            f'`python -c "import base64, os; print({_PREFIX!r} + base64.b64encode(os.urandom(32)).decode())"`'
        )
    return found


def _variable(of: str, name: str, environ: Mapping[str, str]) -> str:
    found = environ.get(name, "")
    if not found:
        raise UsageError(f"receiver {of!r} takes environment variable {name}, which is not set; set it and start again")
    return found
