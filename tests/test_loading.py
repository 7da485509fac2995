"""Importing this project changes nothing in the process that imports it."""

import subprocess
import sys

LOOK = """
import gc, inspect, sys
import prefect, prefect.flow_engine, prefect.task_engine, prefect.client.base, prefect.client.orchestration
import prefect.workers.process, prefect.runner.runner, prefect.events.clients, prefect.logging.handlers

def prefects():
    found = {}
    for name, module in sorted(sys.modules.items()):
        if name.split(".")[0] != "prefect" or module is None:
            continue
        for key, value in vars(module).items():
            if inspect.isfunction(value):
                found[name, key] = id(value)
            elif inspect.isclass(value) and value.__module__ == name:
                found |= {(name, key, each): id(one) for each, one in vars(value).items() if callable(one)}
    return found

before, collector = prefects(), (gc.isenabled(), gc.get_freeze_count(), gc.get_threshold())
"""
COMPARE = """
after = prefects()
changed = [name for name in before if name not in after or after[name] != before[name]]
assert len(before) > 1000
assert not changed, changed
assert (gc.isenabled(), gc.get_freeze_count(), gc.get_threshold()) == collector
"""


def said(code: str) -> str:
    """What a process of its own says that runs the code."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr


def test_importing_leaves_prefect_and_the_garbage_collector_alone() -> None:
    loads = (
        "import flows; [getattr(flows, name) for name in flows.__all__]",
        "import flows.webhook; flows.webhook.app",
        "from flows.setup.command import main",
        "import flows.board, flows.status_command",
    )
    assert said("\n".join([LOOK, *(f"{load}\n{COMPARE}" for load in loads)])) == ""
    patch = "prefect.client.orchestration.PrefectClient.__init__ = lambda self: None"
    assert "'PrefectClient', '__init__'" in said("\n".join([LOOK, patch, COMPARE])), "a patch would be seen"


def test_flows_are_loaded_when_they_are_asked_for() -> None:
    code = """
import sys, flows
assert not [name for name in sys.modules if name.startswith(("prefect", "tasks"))]
from flows.promote import promote as by_module
assert "flows.rollback" not in sys.modules
from flows import promote
assert promote is by_module is flows.promote and promote.name == "promote"
import flows.status
assert flows.status.name == "status"
known = vars(flows)
assert all(known[name] is getattr(flows, name) and known[name].name for name in flows.__all__)
assert set(flows.__all__) <= set(dir(flows))
assert eval("update_flowise_deployment", vars(flows)) is flows.update_flowise_deployment
"""
    assert said(code) == ""
