"""A flow's sign of life is sent by a thread that sleeps in steps of a second.

Prefect's engine waits at the end of a flow until such a step is over, up to a second of nothing; for an async flow it
does not, and lets the thread end by itself. So it is here.
"""

from functools import partial

from prefect import flow_engine


def end_without_waiting() -> None:
    """From here on, have this process's flows end without waiting for that thread."""
    # Not a part of Prefect's API: a release without it is as fast as it is.
    if send := getattr(flow_engine, "_send_heartbeats", None):
        flow_engine._send_heartbeats = partial(send, join_on_exit=False)
