"""Argo CD's API server over HTTP: what an application looks like, a refresh, a sync, the end of an operation.

By its own ``assets/swagger.json``; paths and fields are the same since 2.0. There is no maintained client for Python.
"""

import re
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import SecretStr, ValidationError

from tasks.core.errors import AccessDenied, DeliveryError, InvalidInput, NotFound, NotSynced, Unavailable
from tasks.core.registry.oci import on_loopback
from tasks.core.rollout.application import Application, Said
from tasks.core.rollout.evidence import PASSING
from tasks.core.rollout.tree import Tree
from tasks.core.system.address import http_url
from tasks.core.system.http import request_with_deadline

TOKEN = re.compile("[!-~]+")
"""What fits into a header; libraries quote other values in their errors."""

BUSY = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS)

CERTIFICATE = "Set ARGOCD_CA_FILE (or SSL_CERT_FILE) to the certificate of the authority that issued Argo CD's."

AnswerT = TypeVar("AnswerT", bound=Said)


class Forbidden(AccessDenied):
    """Argo CD knows the token, and its account may not do this; or there is no such application."""


class Throttled(Unavailable):
    """Argo CD, or a proxy before it, wants fewer questions; ``after`` are the seconds it asks for."""

    after = 0.0


@dataclass(frozen=True)
class Scope:
    """Where the applications are.

    Args:
        project: their AppProject. With it a missing application can be told from a forbidden one.
        namespace: theirs, if it is not Argo CD's own.
    """

    project: str = ""
    namespace: str = ""

    def parameters(self) -> dict[str, str]:
        """Return what each call has to name."""
        named = {"project": self.project, "appNamespace": self.namespace}
        return {name: value for name, value in named.items() if value}


class ArgoCD:
    """An Argo CD, for use with ``contextlib.closing``.

    Args:
        server: host[:port], reached over HTTPS, or a URL; plain HTTP only where the URL says so.
        token: of an account that may ``get`` and ``sync`` the applications.
        scope: where the applications are.
        ca_file: certificates to trust besides the system's, or besides those that ``SSL_CERT_FILE`` names.
        timeout: seconds one call may take.
        refresh_timeout: seconds a refresh may take; Argo CD answers it when its controller has done it.

    Raises:
        InvalidInput: ``server`` is neither host nor URL, ``token`` is no token, or ``ca_file`` has no certificates.
    """

    def __init__(
        self,
        server: str,
        token: SecretStr,
        scope: Scope = Scope(),
        ca_file: Path | None = None,
        timeout: float = 30,
        refresh_timeout: float = 15,
    ) -> None:
        if not TOKEN.fullmatch(token.get_secret_value()):
            raise InvalidInput("ARGOCD_AUTH_TOKEN is not a token: one word, without line breaks.")
        url = http_url(server, "/api/v1/applications/", "ARGOCD_SERVER")
        self.host = url.netloc.decode()
        self._token = token
        self._scope = scope.parameters()
        self._timeout, self._refresh_timeout = timeout, refresh_timeout
        self._http = httpx.Client(
            base_url=url,
            # Argo CD answers 415 to a POST or DELETE that does not name its type, with or without a body.
            headers={"Authorization": f"Bearer {token.get_secret_value()}", "Content-Type": "application/json"},
            verify=_trusted(ca_file),
            trust_env=not on_loopback(self.host),  # through the environment's proxy, but not to this machine itself
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def application(self, name: str, within: float = 30) -> Application:
        """Return an application as it is known now.

        Args:
            name: the application's.
            within: seconds the caller has for this.

        Raises:
            NotFound, AccessDenied, Unavailable: as Argo CD answers.
        """
        return self._read(Application, name, name, min(self._timeout, within))

    def refreshed(self, name: str, within: float = 30) -> Application:
        """Return an application after it was compared with the repository's newest commit.

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
        except Throttled:
            raise
        except Unavailable:
            return self.application(name, within)

    def refresh(self, name: str, within: float = 30) -> Application:
        """Have the controller compare an application with the repository's newest commit, and return it.

        Raises:
            Unavailable: the controller did not do it in time, or the server failed.
            NotFound, AccessDenied: as Argo CD answers.
        """
        return self._read(Application, name, name, min(self._refresh_timeout, within), refresh="normal")

    def tree(self, name: str, within: float = 30) -> Tree:
        """Return what an application's resources have made, such as pods.

        Raises:
            NotFound, AccessDenied, Unavailable: as Argo CD answers.
        """
        return self._read(Tree, f"{name}/resource-tree", name, min(self._timeout, within))

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
        body = {"name": name, "prune": prune, **self._scope}
        answer = self._call("POST", f"{name}/sync", name, min(self._timeout, within), json=body)
        self._parsed(Application, answer)  # a proxy's page is no promise

    def end_operation(self, name: str, within: float = 30) -> None:
        """End the operation that runs, or that Argo CD tries again by itself.

        Raises:
            NotSynced: there is none any more.
            NotFound, AccessDenied, Unavailable: as Argo CD answers.
        """
        self._call("DELETE", f"{name}/operation", name, min(self._timeout, within), params=self._scope)

    def _read(self, kind: type[AnswerT], path: str, name: str, timeout: float, **query: str) -> AnswerT:
        return self._parsed(kind, self._call("GET", path, name, timeout, params={**query, **self._scope}))

    def _parsed(self, kind: type[AnswerT], answer: httpx.Response) -> AnswerT:
        try:
            return kind.model_validate_json(answer.content)
        except ValidationError:
            raise self._stranger(answer) from None

    def _call(self, method: str, path: str, name: str, timeout: float, **request: Any) -> httpx.Response:  # noqa: ANN401
        try:
            answer = request_with_deadline(self._http, method, path, timeout, **request)
        except httpx.HTTPError as error:
            raise self._unreachable(str(error) or type(error).__name__) from None
        if answer.is_success:
            return answer
        raise self._explain(answer, name)

    def _unreachable(self, said: str) -> DeliveryError:
        what = f"Argo CD at {self.host} cannot be reached: {said.rstrip('.')}."
        if "CERTIFICATE_VERIFY_FAILED" in said:
            return InvalidInput(what, CERTIFICATE)
        if "WRONG_VERSION_NUMBER" in said:
            return InvalidInput(what, "It does not speak HTTPS: if that is meant, set ARGOCD_SERVER to http://...")
        return Unavailable(what, "Check ARGOCD_SERVER, the network, and that Argo CD's API server runs.")

    def _explain(self, answer: httpx.Response, name: str) -> DeliveryError:
        said = self._said(answer)
        if said is None and not answer.is_server_error and answer.status_code not in BUSY:
            return self._stranger(answer)
        what = f"Argo CD at {self.host} on {name}: {answer.status_code} {said or ''}".strip()
        if answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            throttled = Throttled(f"{what}.", "Raise ROLLOUT_POLL_SECONDS, or the limit of the proxy before Argo CD.")
            throttled.after = _seconds(answer.headers.get("retry-after", ""))
            return throttled
        if answer.is_server_error or answer.status_code in BUSY:
            return Unavailable(f"{what}.", "Check that Argo CD's API server is healthy.")
        passes = "operation is already in progress" in (said or "") or PASSING.search(said or "")
        if answer.status_code == HTTPStatus.BAD_REQUEST and passes:
            return Unavailable(f"{what}.", "Check Argo CD's repository server.")
        return _refusal(answer.status_code, what)

    def _said(self, answer: httpx.Response) -> str | None:
        """Return the message of ``{code, error, message}``; ``None`` where the answer is none of Argo CD's."""
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
        return NotFound(
            f"{what}.", "Create the application, or check ARGOCD_APPLICATION, ARGOCD_NAMESPACE and ARGOCD_PROJECT."
        )
    if status == HTTPStatus.UNAUTHORIZED:
        return AccessDenied(f"{what}.", "ARGOCD_AUTH_TOKEN is wrong or expired: make a new one.")
    if "sync window" in what:
        return NotSynced(
            f"{what}.",
            "The commit is in the repository. Sync when the window is open, or let it allow manual syncs.",
        )
    if status == HTTPStatus.FORBIDDEN:
        return Forbidden(
            f"{what}.",
            "Give the token's account (or project role) `get` and `sync` on the application. Argo CD says the same of "
            "a missing one, or one in another namespace: check ARGOCD_APPLICATION and ARGOCD_NAMESPACE; with "
            "ARGOCD_PROJECT set it says which.",
        )
    return NotSynced(f"{what}.", "Look at the application in Argo CD.")


def _trusted(ca_file: Path | None) -> ssl.SSLContext:
    """Trust what httpx does by default, on loopback, too; and a file's certificates besides."""
    context = httpx.create_ssl_context()
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise InvalidInput(f"ARGOCD_CA_FILE {ca_file} cannot be used: {error}.", "Name a PEM file.") from None
    return context


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isdecimal() else 0.0
