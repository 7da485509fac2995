"""What the engine says while it pushes: its records, read into log lines and how much is done."""

from collections.abc import Callable, Mapping
from typing import Any

DONE = ("Pushed", "Layer already exists", "Mounted from")
RETRYING = "Retrying"


class Layers:
    """Follows the layers of one push.

    Args:
        log: is called with a line for each layer that is done, or is sent once more.
        progress: is called with the fraction that is done; it never falls, and the manifest counts as one more layer.
        layers: how many the image has; engines with containerd's store tell of them one by one.
    """

    def __init__(self, log: Callable[[str], None], progress: Callable[[float], None], layers: int = 0) -> None:
        self._log, self._progress, self._layers = log, progress, layers
        self._told = 0.0
        self._done: dict[str, float] = {}
        self._status: dict[str, str] = {}

    def end(self, line: str) -> None:
        """Report the whole image as pushed, with this line."""
        self._progress(1)
        self._log(line)

    def record(self, record: Mapping[str, Any]) -> None:
        """Take one record of the engine's."""
        layer, status = record.get("id"), str(record.get("status", ""))
        if not layer:
            return
        detail = record.get("progressDetail") or {}
        if status.startswith(DONE):
            self._done[layer] = 1.0
            self._log(f"{layer}: {status}")
        else:
            total = detail.get("total") or 0
            self._done[layer] = min(1.0, detail.get("current", 0) / total) if total else 0.0
        # The engine counts the seconds down to the next try, in a record each.
        if status.startswith(RETRYING) and not self._status.get(layer, "").startswith(RETRYING):
            self._log(f"{layer}: {status}")
        self._status[layer] = status
        self._told = max(self._told, sum(self._done.values()) / (max(len(self._done), self._layers) + 1))
        self._progress(self._told)
