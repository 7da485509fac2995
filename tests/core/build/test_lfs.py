"""Files in Git LFS: fetched if the setting says so, with the token for the source's own host; else named."""

import hashlib
import io
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tasks.core import git
from tasks.core.build import lfs
from tasks.core.build.context import Policy, Source
from tasks.core.errors import AccessDenied, DeliveryError, InvalidInput
from tasks.core.images import ImageSpec
from tests.sandbox import repositories
from tests.sandbox.in_process import served
from tests.sandbox.optional import optional
from tests.sandbox.processes import NotInstalled

APP = ImageSpec(name="app", dockerfile="Dockerfile")
LARGE = b"large\0" * 100_000
TOKEN = "t-o-k-e-n"


def pointer(content: bytes) -> bytes:
    """By the specification's own example."""
    name = hashlib.sha256(content).hexdigest()
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (name.encode(), len(content))


def store(folder: Path, content: bytes) -> None:
    name = hashlib.sha256(content).hexdigest()
    file = folder / "lfs" / "objects" / name[:2] / name[2:4] / name
    file.parent.mkdir(parents=True)
    file.write_bytes(content)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A repository whose model.bin and copy.bin are one file in Git LFS."""
    path = repositories.init(tmp_path / "bare.git")
    files = {
        "Dockerfile": "FROM scratch\nCOPY . /\n",
        ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n",
        "model.bin": pointer(LARGE),
        "copy.bin": pointer(LARGE),
        "about.txt": "version https://git-lfs.github.com/spec/v1\n" + "is what a pointer begins with\n" * 4,
        "docs/ignored.bin": pointer(b"of no use"),
        ".dockerignore": "docs\n",
    }
    repositories.commit(path, "main", files, "feat: a model")
    store(path, LARGE)
    return path


@pytest.fixture
def git_lfs() -> None:
    """The real git-lfs."""

    @contextmanager
    def installed() -> Iterator[None]:
        if not shutil.which("git-lfs"):
            raise NotInstalled("git-lfs isn't installed: apt-get install git-lfs.")
        yield

    with optional(installed()):
        pass


def read(bare: Path, tmp_path: Path, policy: Policy) -> dict[str, bytes]:
    made = Source(git.Remote(str(bare)), str(repositories.head(bare)), tmp_path / f"{policy.lfs}.git", policy)
    with tarfile.open(fileobj=io.BytesIO(b"".join(made.context(APP)))) as archive:
        return {each.name: archive.extractfile(each).read() for each in archive if each.isreg()}


@pytest.mark.usefixtures("git_lfs")
def test_the_context_has_the_files_themselves(bare: Path, tmp_path: Path) -> None:
    context = read(bare, tmp_path, Policy(lfs="fetch"))
    assert context["model.bin"] == context["copy.bin"] == LARGE
    assert context["about.txt"].endswith(b"begins with\n")


def test_a_pointer_is_named_before_anything_is_built(bare: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"Git LFS pointer in the place of copy\.bin, model\.bin\.\n.*SOURCE_LFS"):
        read(bare, tmp_path, Policy())
    assert read(bare, tmp_path, Policy(lfs="leave"))["model.bin"] == pointer(LARGE)


def test_the_choice_makes_another_name(bare: Path, tmp_path: Path) -> None:
    sha = str(repositories.head(bare))
    names = {
        policy: Source(git.Remote(str(bare)), sha, tmp_path / f"{policy}.git", Policy(lfs=policy)).inputs(APP, {})
        for policy in ("reject", "leave", "fetch")
    }
    assert names["reject"] == names["leave"] != names["fetch"]


@pytest.mark.usefixtures("git_lfs")
def test_a_file_that_was_never_pushed_is_named(bare: Path, tmp_path: Path) -> None:
    shutil.rmtree(bare / "lfs")
    with pytest.raises(DeliveryError, match=r"bare\.git"):
        read(bare, tmp_path, Policy(lfs="fetch"))


def test_without_git_lfs_its_name_is_told(bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(InvalidInput, match="git-lfs is not installed"):
        read(bare, tmp_path, Policy(lfs="fetch"))


class Server:
    """A stand-in for a Git LFS server (docs/api/batch.md there): what it has, and the logins that it was given."""

    def __init__(self, files: Path | None = None, content: bytes = LARGE) -> None:
        self.logins, self.content, self.url = [], content, ""
        self.app = Starlette(
            routes=[
                Route("/{repository:path}/objects/batch", self.batch, methods=["POST"]),
                Route("/files/{name}", self.file),
            ]
        )

    async def batch(self, request: Request) -> Response:
        self.logins.append(request.headers.get("authorization", ""))
        wanted = (await request.json())["objects"]
        answer = [{**each, "actions": {"download": {"href": f"{self.url}/files/{each['oid']}"}}} for each in wanted]
        return JSONResponse({"transfer": "basic", "objects": answer}, media_type="application/vnd.git-lfs+json")

    async def file(self, request: Request) -> Response:
        self.logins.append(request.headers.get("authorization", ""))
        return Response(self.content)


@pytest.mark.usefixtures("git_lfs")
@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_token_goes_to_the_source_s_own_host_alone(tmp_path: Path, elsewhere: bool) -> None:
    repository, server, other = tmp_path / "fetched.git", Server(), Server()
    git.init(repository)
    with served(server.app) as server.url, served(other.app) as other.url:
        where = git.Remote(f"{server.url}/acme/app.git", SecretStr(TOKEN))
        config = f"[lfs]\n\turl = {other.url}/acme/app\n".encode() if elsewhere else b""
        found = lfs.fetch(where, repository, {"model.bin": pointer(LARGE)}, config)
    assert found["model.bin"].read_bytes() == LARGE
    login = "Basic eC1hY2Nlc3MtdG9rZW46dC1vLWstZS1u"  # of x-access-token:t-o-k-e-n
    assert set(server.logins) == (set() if elsewhere else {login})
    assert set(other.logins) == ({""} if elsewhere else set())


@pytest.mark.usefixtures("git_lfs")
def test_another_file_than_the_pointer_s_is_rejected(tmp_path: Path) -> None:
    repository, server = tmp_path / "fetched.git", Server(content=b"evil")
    git.init(repository)
    with served(server.app) as server.url, pytest.raises(DeliveryError):
        lfs.fetch(git.Remote(f"{server.url}/acme/app.git"), repository, {"model.bin": pointer(LARGE)})


@pytest.mark.parametrize("url", ["file:///srv/git", "ext::sh", "../x"])
def test_a_server_that_is_none_is_rejected(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name)
    git.init(tmp_path / "fetched.git")
    with pytest.raises(InvalidInput, match="no Git LFS server"):
        lfs.fetch(
            git.Remote("https://h.invalid/a.git"),
            tmp_path / "fetched.git",
            {"m": pointer(b"")},
            f"[lfs]\nurl={url}".encode(),
        )


@pytest.mark.usefixtures("git_lfs")
def test_a_login_that_is_rejected_is_not_tried_for_ever(tmp_path: Path) -> None:
    async def denied(_: Request) -> Response:
        return Response("Authentication required", 401)

    repository = tmp_path / "fetched.git"
    git.init(repository)
    with (
        served(Starlette(routes=[Route("/{path:path}", denied, methods=["GET", "POST"])])) as url,
        pytest.raises(AccessDenied),
    ):
        lfs.fetch(git.Remote(f"{url}/acme/app.git", SecretStr(TOKEN)), repository, {"model.bin": pointer(LARGE)})
