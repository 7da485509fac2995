"""Argo CD's API server over HTTP: what an application looks like, a refresh, a sync.

By its own ``assets/swagger.json``; paths and fields are the same since 2.0. There is no maintained client for Python.
"""

import re
from http import HTTPStatus
from typing import Any

import httpx
from pydantic import SecretStr, ValidationError

from tasks.core.errors import AccessDenied, DeliveryError, InvalidInput, NotFound, NotSynced, Unavailable
from tasks.core.registry.oci import on_loopback
from tasks.core.rollout.application import Application
from tasks.core.system import http
from tasks.core.system.address import http_url

TOKEN = re.compile("[!-~]+")
"""What fits into a header; libraries quote other values in their errors."""

BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS)


class ArgoCD:
    """An Argo CD, for use with ``contextlib.closing``.

    Args:
        server: host[:port], reached over HTTPS, or a URL; plain HTTP only where the URL says so.
        token: of an account that may ``get`` and ``sync`` the applications.
        project: the applications' AppProject. With it a missing application can be told from a forbidden one.
        timeout: seconds one call may take.
        refresh_timeout: seconds a refresh may take; Argo CD answers it when its controller has done it.

    Raises:
        InvalidInput: ``server`` is neither host nor URL, or ``token`` is no token.
    """

    def __init__(
        self,
        server: str,
        token: SecretStr,
        project: str | None = None,
        timeout: float = 30,
        refresh_timeout: float = 15,
    ) -> None:
        if not TOKEN.fullmatch(token.get_secret_value()):
            raise InvalidInput("ARGOCD_AUTH_TOKEN is no token: one word, without line breaks.")
        url = http_url(server, "/api/v1/applications/", "ARGOCD_SERVER")
        self.host = url.netloc.decode()
        self._token = token
        self._project = {"project": project} if project else {}
        self._timeout, self._refresh_timeout = timeout, refresh_timeout
        self._http = httpx.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {token.get_secret_value()}"},
            trust_env=not on_loopback(self.host),  # through the environment's proxy, but not to this machine itself
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def application(self, name: str, within: float = 30) -> Application:
        """An application as it is known now.

        Args:
            name: the application's.
            within: seconds the caller has for this.

        Raises:
            NotFound, AccessDenied, Unavailable: as Argo CD answers.
        """
        return self._application(name, {}, min(self._timeout, within))

    def refreshed(self, name: str, within: float = 30) -> Application:
        """An application after it was compared with the repository's newest commit.

        A refresh is sometimes not answered, though the controller gets to it in the end: then the answer is the
        application as it is known now.

        Args:
            name: the application's.
            within: seconds the caller has for this.

        Raises:
            NotFound, AccessDenied, Unavailable: as Argo CD answers.
        """
        try:
            return self.refresh(name, within)
        except Unavailable:
            return self.application(name, within)

    def refresh(self, name: str, within: float = 30) -> Application:
        """Have the controller compare an application with the repository's newest commit, and return it.

        Raises:
            Unavailable: the controller did not do it in time, or the server failed.
            NotFound, AccessDenied: as Argo CD answers.
        """
        return self._application(name, {"refresh": "normal"}, min(self._refresh_timeout, within))

    def sync(self, name: str, *, prune: bool, within: float = 30) -> None:
        """Ask for a sync to the newest commit. Without a revision: automatic sync refuses one that is not its own.

        Args:
            name: the application's.
            prune: delete what the commit no longer has.
            within: seconds the caller has for this.

        Raises:
            NotSynced: a sync window is closed, or Argo CD refuses for another reason of its own.
            Unavailable: another operation is in progress, or the server failed: try again.
            NotFound, AccessDenied: as Argo CD answers.
        """
        body = {"name": name, "prune": prune, **self._project}
        self._call("POST", f"{name}/sync", name, min(self._timeout, within), json=body)

    def _application(self, name: str, query: dict[str, str], timeout: float) -> Application:
        answer = self._call("GET", name, name, timeout, params={**query, **self._project})
        try:
            return Application.model_validate_json(answer.content)
        except ValidationError:
            raise self._stranger(answer) from None

    def _call(self, method: str, path: str, name: str, timeout: float, **request: Any) -> httpx.Response:  # noqa: ANN401
        try:
            answer = http.request_with_deadline(self._http, method, path, timeout, **request)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"Argo CD at {self.host} cannot be reached: {str(error) or type(error).__name__}.",
                "Check ARGOCD_SERVER and the network; for a certificate of your own set SSL_CERT_FILE.",
            ) from None
        if answer.is_success:
            return answer
        raise self._explain(answer, name)

    def _explain(self, answer: httpx.Response, name: str) -> DeliveryError:
        said = self._said(answer)
        if said is None and not answer.is_server_error and answer.status_code not in BUSY:
            return self._stranger(answer)
        what = f"Argo CD at {self.host} on {name}: {answer.status_code} {said or ''}".strip()
        if "operation is already in progress" in (said or ""):
            return Unavailable(f"{what}.")
        if answer.is_server_error or answer.status_code in BUSY:
            return Unavailable(f"{what}.", "Is Argo CD well?")
        return _refusal(answer.status_code, what)

    def _said(self, answer: httpx.Response) -> str | None:
        """The message of ``{code, error, message}``; ``None`` where the answer is none of Argo CD's."""
        try:
            said = answer.json()["message"]
        except (ValueError, KeyError, TypeError):
            return None
        return str(said)[:500].replace(self._token.get_secret_value(), "***")

    def _stranger(self, answer: httpx.Response) -> DeliveryError:
        to = answer.headers.get("location")
        where = f", to {to.partition('?')[0]:.200}" if answer.has_redirect_location and to else ""
        return InvalidInput(
            f"What answers at {self.host} is not Argo CD's API: {answer.status_code}{where}.",
            "Set ARGOCD_SERVER to Argo CD's own address; redirects are not followed, because of the token.",
        )


def _refusal(status: int, what: str) -> DeliveryError:
    if status == HTTPStatus.NOT_FOUND:
        return NotFound(f"{what}.", "Create the application, or check ARGOCD_PROJECT.")
    if status == HTTPStatus.UNAUTHORIZED:
        return AccessDenied(f"{what}.", "ARGOCD_AUTH_TOKEN is wrong or expired: make a new one.")
    if "sync window" in what:
        return NotSynced(
            f"{what}.",
            "The commit is in the repository. Sync when the window is open, or let it allow manual syncs.",
        )
    if status == HTTPStatus.FORBIDDEN:
        return AccessDenied(
            f"{what}.",
            "The token's account needs `get` and `sync` on it. Argo CD says the same of a missing application, "
            "unless ARGOCD_PROJECT is set.",
        )
    return NotSynced(f"{what}.", "Look at the application in Argo CD.")
