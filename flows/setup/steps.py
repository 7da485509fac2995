"""A step of prefect.yaml's own, for ``prefect deploy``."""

import shlex
import sys


def this_python() -> dict[str, str]:
    """The Python that deploys, as a word of a command: its environment has what the flows import."""
    return {"python": shlex.quote(sys.executable)}
