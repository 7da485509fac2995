"""Which update ran healthy last in an environment, kept as a Prefect variable: git knows what was written only."""

from prefect import task
from prefect.variables import Variable

from tasks.core.errors import InvalidInput
from tasks.core.models import Environment, ImageUpdate
from tasks.core.settings import load
from tasks.runtime.retries import RETRIES
from tasks.runtime.server import patiently


@task(name="remember-healthy", task_run_name="remember-healthy {update.environment} {update.tag}", **RETRIES)
def remember(update: ImageUpdate) -> None:
    """Keep that an update was seen to run, healthy."""
    Variable.set(_name(update.environment), update.payload(), overwrite=True)


def last_good(environment: Environment) -> ImageUpdate | None:
    """Return the update that was remembered last; ``None`` if there is none, or a person changed it."""
    known = patiently(lambda: Variable.get(_name(environment)))
    try:
        return ImageUpdate.parse(**known) if isinstance(known, dict) else None
    except InvalidInput:
        return None


def _name(environment: Environment) -> str:
    return load().names.variable(f"healthy_{environment}")
