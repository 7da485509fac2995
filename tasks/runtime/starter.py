"""Who started a flow run."""

import getpass
import os

from prefect.context import FlowRunContext


def starter() -> str:
    """Who started this run: Prefect's word for it where there is one, else this machine's user."""
    context = FlowRunContext.get()
    creator = context.flow_run.created_by if context and context.flow_run else None
    if creator and creator.display_value:
        return creator.display_value
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without an entry in passwd
        return f"uid {os.getuid()}"
