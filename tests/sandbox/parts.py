"""Parts of a running system that end, are killed and come back one by one, each under its name."""

import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
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
        os.killpg(self.pid(name), signal.SIGKILL)
        self.stop(name)

    def pid(self, name: str) -> int:
        """Return the part's process, which leads a group of its own."""
        return self._running[name][1].pid
