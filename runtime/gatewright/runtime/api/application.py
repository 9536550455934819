"""The application: middleware, resources, health and console around one service."""

from __future__ import annotations

import asyncio
import secrets
from importlib.metadata import version

from fastapi import FastAPI

from gatewright.runtime import console
from gatewright.runtime.addresses import is_loopback
from gatewright.runtime.operations import Host
from gatewright.runtime.people import Roster

from . import bus, errors, health, interop, notices, resources
from .access import Access
from .limits import BodyLimit
from .origins import Origins
from .sessions import Sessions, key_of


def create_app(
    service: Host, *, closing: asyncio.Event | None = None, instance: str | None = None, open_to_all: bool = False
) -> FastAPI:
    """The HTTP application of `service`, which stays the caller's to close.

    Args:
        closing: when set, streams say `bye` and end, and waits give the state as it is.
        instance: what `/livez` tells this process by.
        open_to_all: serve whoever asks, under any host name, where no token is configured.
    """
    server, data_dir = service.config.server, service.config.data_dir
    roster = Roster.of(service.config)
    sessions = Sessions(roster, b"" if roster.open else key_of(data_dir))
    closing = closing or asyncio.Event()
    # FastAPI's own documentation pages load scripts from a content delivery network; the document itself is enough.
    app = FastAPI(
        title="Gatewright",
        version=version("gatewright"),
        summary="Runs teams of LangGraph agents as a service that its owners can answer for.",
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    errors.install(app)
    app.include_router(health.routes(service, instance or secrets.token_hex(8)))
    app.include_router(resources.routes(service, closing))
    app.include_router(notices.routes(service))
    app.include_router(bus.routes(service))
    app.include_router(interop.routes(service))
    console.mount(app, service, roster, sessions)
    app.add_middleware(BodyLimit, limit=server.max_body_bytes)
    local = roster.open and not open_to_all and is_loopback(server.host)
    app.add_middleware(Access, roster=roster, sessions=sessions, local=local)
    app.add_middleware(Origins, origins=server.origins)
    return app
