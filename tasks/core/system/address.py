"""Addresses that people write into settings: a host, or a URL."""

import httpx

from tasks.core.errors import InvalidInput


def http_url(address: str, path: str, setting: str) -> httpx.URL:
    """Return the URL of a path below a host (over HTTPS) or below a URL.

    Args:
        address: ``example.com``, ``example.com:8443`` or ``https://example.com/path``; ``http://`` where it says so.
        path: what is asked for there.
        setting: what to call it in an error; the address itself is not shown, it may hold a password.

    Raises:
        InvalidInput: it is neither, or has a user, a query or a fragment.
    """
    try:
        url = httpx.URL(address if "://" in address else f"https://{address}")
        good = url.scheme in ("http", "https") and url.host and not (url.userinfo or url.query or url.fragment)
    except httpx.InvalidURL:
        good = False
    if not good:
        raise InvalidInput(
            f"{setting} is neither a host nor a URL.", "Give example.com, or https://example.com/path; no password."
        )
    return url.copy_with(path=f"{url.path.rstrip('/')}/{path.lstrip('/')}")
