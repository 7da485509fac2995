"""Steps that had nothing to do."""

from typing import Any

from prefect.states import Completed, State


def skipped(why: str, value: Any = None) -> State[Any]:  # noqa: ANN401 - whatever the task returns
    """Return the state of a task that ends as Skipped instead of Completed; see :func:`value_of`."""
    return Completed(name="Skipped", message=why, data=value)


def value_of(returned: Any) -> Any:  # noqa: ANN401
    """Return a task's value: Prefect hands a state that a task returns to its caller as it is."""
    return returned.result() if isinstance(returned, State) else returned
