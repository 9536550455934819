"""Data sets: what a world is before any case, read from JSON files once and never changed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

from gatewright.agents.errors import UnavailableError

D = TypeVar("D")


class Loader(Generic[D]):
    """Reads a data set from its folder on first use and shares it from then on; for any number of threads."""

    def __init__(self, read: Callable[[Path], D]) -> None:
        self._read = read
        self._loaded: dict[Path, D] = {}
        self._loading = threading.Lock()

    def __call__(self, folder: Path) -> D:
        """The data set in `folder`.

        Raises:
            UnavailableError: one of its files is missing or malformed.
        """
        with self._loading:
            if folder not in self._loaded:
                self._loaded[folder] = self._read(folder)
            return self._loaded[folder]


def parsed(path: Path, what: str, files: str) -> Any:
    """The content of a JSON file of a data set; `what` it holds and which `files` belong there are for the reader.

    Raises:
        UnavailableError: the file is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnavailableError(
            f"cannot read {what} from {str(path)!r}: {error.strerror}; set the thread's setting "
            f"`world.data` to a directory that holds {files}"
        ) from error
    except (ValueError, RecursionError) as error:  # the latter: nested too deeply
        raise UnavailableError(f"{str(path)!r} is not JSON: {error}; restore the file") from error
