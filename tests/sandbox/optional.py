"""Parts a machine may lack: a test is skipped there, but never on CI, where a skip would pass for a success."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

import pytest

from tests.sandbox.processes import NotInstalled

Part = TypeVar("Part")


@contextmanager
def optional(part: AbstractContextManager[Part]) -> Iterator[Part]:
    """Enter a part of the sandbox; skip the test where it isn't installed, unless ``CI`` is ``true``."""
    with ExitStack() as stack:
        try:
            entered = stack.enter_context(part)
        except NotInstalled as error:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(str(error))
        yield entered
