"""Steps that had nothing to do."""

from typing import TypeVar, cast

from prefect import State
from prefect.states import Completed

Value = TypeVar("Value")


def skipped(why: str, value: Value) -> Value:
    """Return the value in a state that ends a flow or task as Skipped instead of Completed; see :func:`value_of`."""
    return cast(Value, Completed(name="Skipped", message=why, data=value))


def value_of(returned: Value) -> Value:
    """Return a task's value: Prefect hands a state that a task returns to its caller as it is."""
    return cast(Value, returned.result()) if isinstance(returned, State) else returned
