"""How every run ends: its result is its last line, its state's message and its summary."""

from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from typing import Any, ParamSpec

from prefect import State
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows.overview import refresh
from tasks.core.errors import DeliveryError, RolledBack
from tasks.core.models import DeployPlan, DeployResult, UpdateResult
from tasks.core.report import outcome
from tasks.core.report.overview import Waiting
from tasks.core.text import plain
from tasks.runtime.flow import remember_failure
from tasks.runtime.notify import Kind, notify
from tasks.runtime.quiet import quieten
from tasks.runtime.web import web
from tasks.summary import summarize_failure

P = ParamSpec("P")


def concluded(flow: Callable[P, Any]) -> Callable[P, Any]:
    """End a flow with a state whose message is the result, also if it failed; callers still get value or exception."""

    @wraps(flow)
    def run(*args: P.args, **kwargs: P.kwargs) -> Any:  # noqa: ANN401 - the flow's own value, or its state
        quieten()
        try:
            result = flow(*args, **kwargs)
            if isinstance(result, UpdateResult) and outcome.state_name(result) != "DryRun":
                refresh_status()
                tell(result)
            return end(result)
        except Exception as error:
            remember_failure(error)
            with suppress(Exception):  # its summary, whatever is wrong with that, must not hide the failure
                summarize_failure(flow.__name__, flow_run.parameters, error)
            refresh_status()
            if isinstance(error, RolledBack) and flow.__name__ != "deploy_to_k8s":  # whose subflow has told it
                notify("rolled-back", _environment(), f"{_environment()} was rolled back", f"{error}\n{_link()}")
            if not isinstance(error, DeliveryError):
                raise
            return Failed(message=str(error), data=error)

    return run


def refresh_status(*also: Waiting) -> None:
    """Bring the artifact ``status`` up to date; what is in its way is logged, and fails nothing.

    Args:
        also: a run that is about to wait for an operator.
    """
    try:
        refresh(*also)
    except Exception as error:
        get_run_logger().info("The artifact status is not refreshed: %s", plain(str(error)))


def tell(result: UpdateResult) -> None:
    """Notify people of what was deployed or rolled back."""
    if result.changed and outcome.state_name(result) == "Completed":
        said = outcome.of_update(result)
        kind: Kind = "rolled-back" if result.origin and result.origin.restores else "deployed"
        notify(kind, result.environment, said, f"{said}\n{_link()}")


def _environment() -> str:
    return str(flow_run.parameters.get("environment", "dev"))


def _link() -> str:
    return web().run(str(flow_run.id))


def end(result: object) -> object:
    """Return the state a result ends a run with; what is one already, or has no sentence, stays as it is."""
    if isinstance(result, State) or not isinstance(result, UpdateResult | DeployResult | DeployPlan):
        return result
    update = result if isinstance(result, UpdateResult) else result.update
    if isinstance(result, UpdateResult):
        said = outcome.of_update(result)
    else:
        said = outcome.of_plan(result) if isinstance(result, DeployPlan) else outcome.of_deploy(result)
    return Completed(name=outcome.state_name(update) if update else None, message=said, data=result)
