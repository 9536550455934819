"""A process that executes runs until its input ends: `executing.py CONFIG [deaf]`, with the configuration as JSON.

`deaf`: it hears nothing of what other processes ring, and does not look by itself what they have paused.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from gatewright.runtime.config import Config
from gatewright.runtime.controls import switches
from gatewright.runtime.service import Service
from gatewright.runtime.store import bell


async def main(config: Config) -> None:
    async with await Service.open(config, kind="worker"):
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.read)


def deaf(*_: Any) -> None:
    """Hears nothing."""


if __name__ == "__main__":
    if "deaf" in sys.argv[2:]:
        bell.SharedBell.on = deaf  # type: ignore[assignment, method-assign]
        switches.LOOK = 3600.0
    asyncio.run(main(Config.model_validate_json(sys.argv[1])))
