"""The decorator of this project's flows."""

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any, ParamSpec, TypeVar

from prefect import Flow
from prefect.exceptions import FailedRun
from prefect.runtime import flow_run
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

P = ParamSpec("P")
R = TypeVar("R")

_failures: ContextVar[list[Exception]] = ContextVar("failures")


class DirectFlow(Flow[P, R]):
    """A flow that sends no heartbeats when Python code calls it; a worker's runs send them as configured.

    Heartbeats let an automation find runs whose worker died; a caller sees its own process end. With them Prefect waits
    up to a second at the end of each synchronous flow until the thread that sends them has stopped
    (``prefect.flow_engine._send_heartbeats``), which is most of the time that a warm update takes.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the signature is the wrapped function's
        """Run the flow in this process and return its result."""
        failures: list[Exception] = []
        mine = _failures.set(failures)
        try:
            with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
                return super().__call__(*args, **kwargs)
        except FailedRun:
            # The server, too, ends an approval whose time is up; if it is first, the run's state has no exception.
            if not failures:
                raise
            raise failures[-1] from None
        finally:
            _failures.reset(mine)


def remember_failure(error: Exception) -> None:
    """Remember what a run that Python code called fails with, whatever state the server has for it."""
    _failures.get([]).append(error)


def flow(name: str, flow_run_name: str | None = None) -> Callable[[Callable[P, R]], Flow[P, R]]:
    """Make a function a flow of this name.

    Args:
        name: the flow's name in Prefect.
        flow_run_name: the name of its runs, with the function's parameters in braces; a dry run's says so.
    """
    named = partial(_run_name, flow_run_name) if flow_run_name else None
    return lambda function: DirectFlow(function, name=name, flow_run_name=named)


def _run_name(template: str) -> str:
    parameters = flow_run.parameters
    name = template.format(**parameters)
    return f"dry run: {name}" if parameters.get("dry_run") else name
