"""Parts of a running system that end, are killed and come back one by one, each under its name."""

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from typing import Self

Make = Callable[[], AbstractContextManager["subprocess.Popen[bytes]"]]


class Parts:
    """What runs, by name; everything ends when the block does, the newest part first."""

    def __init__(self) -> None:
        self._make: dict[str, Make] = {}
        self._running: dict[str, tuple[ExitStack, subprocess.Popen[bytes]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in reversed(list(self._running)):
            self.stop(name)

    def __contains__(self, name: str) -> bool:
        return name in self._running

    def start(self, name: str, make: Make | None = None) -> None:
        """Start a part; without ``make``, as it was started before."""
        self._make[name] = make or self._make[name]
        with ExitStack() as stack:
            process = stack.enter_context(self._make[name]())
            self._running[name] = stack.pop_all(), process

    def stop(self, name: str) -> None:
        """End a part as a service manager does: SIGTERM, and SIGKILL after its grace."""
        stack, _ = self._running.pop(name)
        stack.close()

    def kill(self, name: str) -> None:
        """Kill a part with everything it has started, as if its machine lost power."""
        for pid in (self.pid(name), *_descendants(self.pid(name))):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.stop(name)

    def holder(self, pid: int) -> str:
        """Return the name of the part that has started a process.

        Raises:
            StopIteration: none has.
        """
        return next(name for name in self._running if pid in _descendants(self.pid(name)))

    def busy(self, name: str) -> bool:
        """Tell whether processes run that a part has started."""
        return bool(_descendants(self.pid(name)))

    def pid(self, name: str) -> int:
        """Return the part's process, which leads a group of its own."""
        return self._running[name][1].pid


def _descendants(pid: int) -> list[int]:
    """Return the processes that one has started, and those that they have; oldest generation first."""
    found = [pid]
    for parent in found:
        for tasks in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):  # it has just ended
                found += map(int, tasks.read_text().split())
    return found[1:]
