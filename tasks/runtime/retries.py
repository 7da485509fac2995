"""How every task is retried: how often, after which delays, and after which errors."""

from typing import Any

from prefect import Task
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import exponential_backoff

from tasks.core.errors import DeliveryError, Retryable


def is_transient(task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Prefect's retry condition: a failure's type says whether another try makes sense."""
    try:
        state.result()
    except Retryable:
        return True
    except Exception:  # the failure itself, whatever it is
        return False
    return False


def name_step(task: Task[..., Any], run: TaskRun, state: State[Any]) -> None:
    """Note in a failure's error which task it was."""
    error = state.result(raise_on_failure=False)
    if isinstance(error, DeliveryError):
        error.step = task.name


RETRIES: dict[str, Any] = {
    "retries": 3,
    "retry_delay_seconds": exponential_backoff(2),
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": is_transient,
    "on_failure": [name_step],
}
"""Three more tries for what may heal by itself, after about 2, 4 and 8 seconds.

``timeout_seconds`` stands only at tasks that a flow calls directly: Prefect cannot interrupt a submitted one.
Those (the builds, get-digest) are bounded by what they call: the build's timeout, the registry's, git's.
"""
