"""A real OCI registry (the distribution project's) on a free port of 127.0.0.1."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx

from tests.sandbox.processes import NotInstalled, answers, free_port, running

MANIFEST_TYPES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
"""Every kind of thing a tag can mean."""


@dataclass(frozen=True)
class Registry:
    """A running registry, and what it holds, asked without the project's own code."""

    host: str
    users: Mapping[str, str]

    @property
    def url(self) -> str:
        """Where its API begins."""
        return f"http://{self.host}"

    def tags(self, repository: str) -> list[str]:
        """Every tag of a repository, sorted; none when there is no such repository."""
        answer = self._ask("GET", f"{repository}/tags/list", missing_ok=True)
        return sorted(answer.json().get("tags") or [])

    def digest(self, repository: str, tag: str) -> str | None:
        """The digest behind a tag, or ``None``."""
        answer = self._ask("HEAD", f"{repository}/manifests/{tag}", missing_ok=True)
        return dict(answer.headers).get("docker-content-digest")

    def manifest(self, repository: str, reference: str) -> dict[str, Any]:
        """The manifest behind a tag or digest."""
        return dict(self._ask("GET", f"{repository}/manifests/{reference}").json())

    def blob(self, repository: str, digest: str) -> bytes:
        """A layer or an image's configuration."""
        return self._ask("GET", f"{repository}/blobs/{digest}").content

    def config(self, repository: str, reference: str) -> dict[str, Any]:
        """An image's configuration: its platform, environment, command and history."""
        digest = self.manifest(repository, reference)["config"]["digest"]
        return dict(json.loads(self.blob(repository, digest)))

    def is_whole(self, repository: str, reference: str) -> bool:
        """Whether everything is there that a tag or digest needs."""
        manifest = self.manifest(repository, reference)
        if "manifests" in manifest:
            return all(self.is_whole(repository, each["digest"]) for each in manifest["manifests"])
        blobs = (f"{repository}/blobs/{each['digest']}" for each in (manifest["config"], *manifest["layers"]))
        return all(self._ask("HEAD", each, missing_ok=True).is_success for each in blobs)

    def push(self, repository: str, tag: str, note: str = "") -> str:
        """Push an image without layers and answer its digest; another note makes another image."""
        blob = json.dumps({"architecture": "amd64", "os": "linux", "author": note}).encode()
        place = self._ask("POST", f"{repository}/blobs/uploads/").headers["Location"]
        config = {"mediaType": "application/vnd.oci.image.config.v1+json", **_descriptor(blob)}
        self._ask("PUT", place, params={"digest": config["digest"]}, content=blob)
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST_TYPES[1], "config": config, "layers": []}
        body = json.dumps(manifest).encode()
        self._ask("PUT", f"{repository}/manifests/{tag}", content=body, media_type=MANIFEST_TYPES[1])
        return str(_descriptor(body)["digest"])

    def delete(self, repository: str, digest: str) -> None:
        """Delete a manifest, and with it every tag that means it."""
        self._ask("DELETE", f"{repository}/manifests/{digest}")

    def _ask(
        self,
        method: str,
        path: str,
        *,
        missing_ok: bool = False,
        media_type: str = "application/octet-stream",
        params: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        url = httpx.URL(f"{self.url}/v2/").join(path)  # an upload's place comes as a whole URL
        answer = httpx.request(
            method,
            url.copy_merge_params(params or {}),
            headers={"Accept": ", ".join(MANIFEST_TYPES), "Content-Type": media_type},
            auth=next(iter(self.users.items()), None),
            content=content,
            follow_redirects=True,
            trust_env=False,
        )
        if not (missing_ok and answer.status_code == httpx.codes.NOT_FOUND):
            answer.raise_for_status()
        return answer


def _descriptor(content: bytes) -> dict[str, Any]:
    return {"digest": f"sha256:{sha256(content).hexdigest()}", "size": len(content)}


@contextmanager
def registry(
    workdir: Path, *, users: Mapping[str, str] | None = None, notify: str | None = None, port: int | None = None
) -> Iterator[Registry]:
    """Start a registry that keeps its images below ``workdir``.

    Args:
        workdir: folder for its configuration, its log and its images.
        users: passwords by name; without, everybody may push.
        notify: URL that gets a notification of every push, pull and delete.
        port: where it listens; a free port by default.

    Raises:
        NotInstalled: there is none on this machine.
        SandboxError: it doesn't start.
    """
    server = Registry(f"127.0.0.1:{port or free_port()}", users or {})
    config = _write_config(workdir, server, notify)
    with running(
        [_program(), "serve", config],
        log=workdir / "registry.log",
        ready=lambda: answers(f"{server.url}/v2/"),
    ):
        yield server


def _program() -> str:
    program = shutil.which("docker-registry") or shutil.which("registry")
    if not program:
        raise NotInstalled("No OCI registry is installed: apt-get install docker-registry.")
    return program


def _write_config(workdir: Path, server: Registry, notify: str | None) -> Path:
    workdir.mkdir(parents=True, exist_ok=True)
    config = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(workdir / "images")}, "delete": {"enabled": True}},
        "http": {"addr": server.host, "secret": "sandbox"},
    }
    if server.users:
        config["auth"] = {"htpasswd": {"realm": "sandbox", "path": str(_write_users(workdir, server.users))}}
    if notify:
        config["notifications"] = {"endpoints": [_endpoint(notify)]}
    path = workdir / "registry.yml"
    path.write_text(json.dumps(config, indent=2))  # JSON is YAML
    return path


def _endpoint(url: str) -> dict[str, Any]:
    return {"name": "sandbox", "url": url, "timeout": "5s", "threshold": 3, "backoff": "1s"}


def _write_users(workdir: Path, users: Mapping[str, str]) -> Path:
    path = workdir / "htpasswd"
    path.write_text("".join(f"{name}:{_bcrypt(password)}\n" for name, password in users.items()))
    return path


def _bcrypt(password: str) -> str:
    """The only kind of hash the registry takes."""
    try:
        import bcrypt
    except ImportError:
        import crypt  # gone from the standard library in Python 3.13, where bcrypt has to be installed

        return crypt.crypt(password, crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16))
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
