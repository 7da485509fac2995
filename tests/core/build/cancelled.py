"""A build whose run is cancelled while it has nothing to say."""

import threading
import time
from collections.abc import Callable

import pytest

from tasks.core.errors import Terminal
from tasks.core.system.interruption import work_ends_with_it


class Cancelled(BaseException):
    """As Prefect ends a run: not an ``Exception``."""


def assert_it_ends_with_its_run(build: Callable[[Callable[[str], None]], object]) -> None:
    """Start the build of ``app`` in a thread, and cancel the run once a line ends with `` begun``."""
    begun, failures = threading.Event(), list[str]()

    def silent() -> None:
        with pytest.raises(Terminal) as stopped:
            build(lambda line: begun.set() if line.endswith(" begun") else None)
        failures.append(stopped.value.message)

    building = threading.Thread(target=silent)
    with pytest.raises(Cancelled), work_ends_with_it():
        building.start()
        assert begun.wait(60)
        raise Cancelled
    started = time.monotonic()
    building.join()
    assert time.monotonic() - started < 3
    assert failures == ["The build of app was stopped, because its run was."]
