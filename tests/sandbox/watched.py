"""Flows that end, or don't, in the ways alerts are for."""

import os
import time
from pathlib import Path

from prefect import flow, suspend_flow_run


@flow(name="fails", flow_run_name="fails in {where}")
def fails(where: str) -> None:
    """End as Failed."""
    raise ValueError(f"nothing works in {where}")


@flow(name="waits", flow_run_name="waits in {where}")
def waits(where: str, pid_file: str) -> None:
    """Write the process's id, and stay."""
    Path(pid_file).write_text(str(os.getpid()))
    while True:
        time.sleep(1)


@flow(name="asks", flow_run_name="asks in {where}")
def asks(where: str) -> None:
    """Suspend: the process ends, the run waits for somebody."""
    suspend_flow_run(timeout=600)


@flow(name="passes", flow_run_name="passes in {where}")
def passes(where: str) -> None:
    """End at once."""
