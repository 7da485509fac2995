"""Loading the flows leaves the process's garbage collector as it was."""

import subprocess
import sys

import pytest

SAY = "import gc; print(gc.isenabled(), gc.get_freeze_count() > 10_000)"
FAILS = """
import sys
sys.modules["tasks.heartbeat"] = None
try:
    import flows
except ImportError:
    pass
"""


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import flows", "True True"),
        ("import gc; gc.disable(); import flows", "False True"),
        (FAILS, "True True"),
    ],
    ids=["by default", "collecting by hand", "not to be loaded"],
)
def test_garbage_is_collected_as_before(program: str, said: str) -> None:
    ran = subprocess.run([sys.executable, "-c", f"{program}\n{SAY}"], capture_output=True, text=True, check=True)
    assert ran.stdout.split("\n")[-2] == said
