"""Whether an environment answers: its endpoint is asked until it says 2xx."""

import time
from collections.abc import Callable

import httpx

from tasks.core.errors import Inconclusive, NotProven, RolloutFailed
from tasks.core.registry.oci import on_loopback
from tasks.core.system import http
from tasks.core.system.address import http_url

ANSWER = 200
"""Characters of an answer that are shown."""


def check_endpoint(
    endpoint: str, path: str, tries: int, seconds: float, log: Callable[[str], None], timeout: float = 10
) -> str:
    """Ask an endpoint until it is healthy.

    Args:
        endpoint: a host, reached over HTTPS, or a URL.
        path: what to ask for, such as ``/api/v1/ping``.
        tries: how often.
        seconds: between two tries.
        log: is called with each answer that is not the same as the one before.
        timeout: seconds one try may take, from looking the name up to the end of the answer.

    Returns:
        The answer, such as ``200 pong``.

    Raises:
        InvalidInput: ``endpoint`` is neither a host nor a URL.
        RolloutFailed: each try was answered 5xx; the message has the last answer.
        Inconclusive: no try got a 2xx, and not all of them a 5xx. An endpoint that cannot be reached, redirects to a
            login page or asks for credentials says nothing about the deployment.
    """
    url, last, errors = _url(endpoint, path), "", 0
    with _client(url) as client:
        for attempt in range(tries):
            time.sleep(seconds if attempt else 0)
            status, answer = _ask(client, url, timeout)
            if status // 100 == 2:
                return answer
            errors += status // 100 == 5
            if answer != last:
                log(f"{url} answers: {answer}")
            last = answer
    kind = RolloutFailed if errors == tries else Inconclusive
    raise kind(
        f"{url} is not healthy after {tries} {'tries' if tries > 1 else 'try'}. Its last answer: {last.rstrip('.')}.",
        "Check the pods and the ingress; the setting is the environment's *_ENDPOINT with HEALTH_PATH.",
    )


def failing_now(endpoint: str, path: str, timeout: float = 5) -> str:
    """Return what an endpoint answers at this moment if that is a 5xx; empty otherwise.

    Raises:
        InvalidInput: ``endpoint`` is neither a host nor a URL.
    """
    url = _url(endpoint, path)
    with _client(url) as client:
        status, answer = _ask(client, url, timeout)
    return answer if status // 100 == 5 else ""


def check_now(endpoint: str, path: str, timeout: float = 10) -> None:
    """Make sure that an endpoint is healthy at this moment.

    Raises:
        InvalidInput: ``endpoint`` is neither a host nor a URL.
        NotProven: it does not answer with a 2xx.
    """
    try:
        check_endpoint(endpoint, path, 1, 0, lambda _: None, timeout)
    except (RolloutFailed, Inconclusive) as failure:
        raise NotProven(failure.message, "Fix it there first, or promote with force.") from None


def _url(endpoint: str, path: str) -> httpx.URL:
    return http_url(endpoint, path, "The endpoint")


def _client(url: httpx.URL) -> httpx.Client:
    return httpx.Client(trust_env=not on_loopback(url.netloc.decode()))


def _ask(client: httpx.Client, url: httpx.URL, timeout: float) -> tuple[int, str]:
    try:
        answer = http.request_with_deadline(client, "GET", url, timeout)
    except httpx.HTTPError as error:
        return 0, str(error) or type(error).__name__
    to = f"to {answer.headers['location']} " if answer.has_redirect_location else ""
    return answer.status_code, f"{answer.status_code} {to}{answer.text[:ANSWER]}".strip()
