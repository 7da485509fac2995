"""Addresses of what this project's pages link to."""

from prefect.settings import PREFECT_UI_URL

from tasks.core.report.links import Web
from tasks.core.settings import load


def web() -> Web:
    """Return the addresses by the settings and this process's Prefect server."""
    return Web(load(), ui())


def ui() -> str:
    """Return the address of the Prefect UI, the newer one on a server of one's own; empty if there is none."""
    address = (PREFECT_UI_URL.value() or "").rstrip("/")
    cloud = address.startswith("https://app.prefect.cloud")
    return address if cloud or not address or address.endswith("/v2") else f"{address}/v2"
