"""Git, as verbs over repositories that nobody has checked out.

Git runs in a clean environment: no configuration of the user's or the machine's, no hooks, no prompts,
English messages, bounded time. A token travels in the child's environment, as configuration that git's own
URL matching keeps to the one host it is for; it is never in an argument, a URL or a file.
"""

import base64
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from tasks.core.errors import InvalidInput, NotFound
from tasks.core.git.errors import explain
from tasks.core.system import process
from tasks.core.system.process import CommandFailed

FULL_SHA = re.compile(r"[0-9a-f]{40}")
SHORT_SHA = re.compile(r"[0-9a-f]{7,39}")
REDIRECTED = re.compile(r"The requested URL returned error: 3\d\d")
ON_GITHUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class Remote:
    """A repository somewhere else.

    Args:
        url: anything git fetches from, without credentials in it.
        token: the password for ``https``, or ``None``.
        user: the user name that goes with it.
        timeout: seconds that one command may take.
    """

    url: str
    token: SecretStr | None = None
    timeout: float = 600
    user: str = "x-access-token"


USERS = {"gitlab": "oauth2", "bitbucket": "x-token-auth"}
"""The user names for tokens, by a part of the host's name; other servers take any name, or want the account's own."""


def user_of(url: str) -> str:
    """Return the user name that a token's server wants with it, as far as its host tells."""
    host = (urlsplit(url).hostname or "").lower()
    return next((user for part, user in USERS.items() if part in host), Remote.user)


def remote(repository: str, token: SecretStr | None, api_url: str, timeout: float = 600) -> Remote:
    """The remote that a setting names: ``owner/name`` is on the GitHub of ``api_url``, the rest is git's own.

    Raises:
        InvalidInput: the text could be taken for an option, or carries a password.
    """
    _check_address(repository)
    if ON_GITHUB.fullmatch(repository):
        return Remote(f"{web_url(api_url)}/{repository}.git", token, timeout)
    return Remote(repository, token, timeout)


def github_name(repository: str, api_url: str) -> str:
    """Return ``owner/name`` for any address of a repository on the GitHub of ``api_url``, and other text as it is."""
    host = re.escape(urlsplit(web_url(api_url)).netloc)
    name = host.partition(":")[0]
    address = rf"(?:https?://{host}/|ssh://(?:git@)?(?:ssh\.)?{name}(?::\d+)?/|(?:git@)?{name}:)({ON_GITHUB.pattern}?)(?:\.git)?/?"
    found = re.fullmatch(address, repository)
    return found[1] if found else repository


def _check_address(repository: str) -> None:
    try:
        address = urlsplit(repository)
    except ValueError:  # its words may hold a password
        raise InvalidInput("The git repository's URL is not one.", "Look at its host, brackets included.") from None
    if address.password or (address.username and address.scheme in ("http", "https")):
        raise InvalidInput(
            f"The URL of {address.hostname}{address.path} carries credentials.",
            "Take them out of the URL and set GITOPS_TOKEN: URLs end up in logs and process lists.",
        )
    if not repository.isprintable() or repository.startswith("-"):
        raise InvalidInput(f"{repository!r:.100} is not a git repository.", "Use owner/name, a git URL or a path.")


def web_url(api_url: str) -> str:
    """Where people and git go: https://github.com for https://api.github.com, https://HOST for https://HOST/api/v3."""
    return api_url.rstrip("/").removesuffix("/api/v3").replace("://api.", "://", 1)


def run(where: Remote, *args: str, directory: Path | None = None, stdin: bytes = b"") -> str:
    """Run one git command that may talk to ``where``, and return what it printed.

    Raises:
        NotFound, AccessDenied, Unavailable, LostRace, PushRefused: what git's own words mean.
    """
    return run_bytes(where, *args, directory=directory, stdin=stdin).decode(errors="surrogateescape")


def run_bytes(where: Remote, *args: str, directory: Path | None = None, stdin: bytes = b"") -> bytes:
    """As :func:`run`, for output that is not text."""
    command = ["git", *(["-C", str(directory)] if directory else []), *args]
    # Without a directory, the configuration of a repository that this process stands in would have a say.
    env = environment(where) | ({} if directory else {"GIT_DIR": os.devnull})
    try:
        with installed():
            return process.run(command, env=env, timeout=where.timeout, stdin=stdin)
    except CommandFailed as error:
        said = error.stderr
    # Outside of the block, so that no exception's context holds what git said; a secret may be a word that decides.
    if REDIRECTED.search(said):
        raise _moved(where)
    failure = explain(said, where.url)
    secrets = [where.token.get_secret_value(), _basic(where)] if where.token else []
    raise type(failure)(process.redact(failure.message, secrets), process.redact(failure.hint, secrets))


def _moved(where: Remote) -> InvalidInput:
    """Name the place a git server redirects to; git itself only says that it does."""
    headers = {"Authorization": f"Basic {_basic(where)}"} if where.token else {}
    url, to = f"{where.url.rstrip('/')}/info/refs", "elsewhere"
    with suppress(httpx.HTTPError, httpx.InvalidURL, KeyError):
        answer = httpx.get(url, params={"service": "git-upload-pack"}, headers=headers, timeout=20)
        new = httpx.URL(answer.headers["location"])
        to = f"to {new.copy_with(userinfo=b'', query=None, fragment=None)}".removesuffix("/info/refs")
    return InvalidInput(
        f"The git server redirects {where.url} {to}.",
        "Set GITOPS_REPO or SOURCE_REPO to the repository's own URL. Redirects are not followed, because they would "
        "send the token to another place.",
    )


@contextmanager
def installed() -> Iterator[None]:
    """Say it in words where git cannot be started.

    Raises:
        InvalidInput: it is not installed.
    """
    try:
        yield
    except FileNotFoundError:
        raise InvalidInput("git is not installed.", "Install it, for example with apt-get install git.") from None


def environment(where: Remote) -> dict[str, str]:
    """The environment of a git command that talks to ``where``."""
    settings = {
        "remote.origin.url": where.url,
        "core.hooksPath": "/dev/null",
        # Of a repository that is gone in a moment, nothing is to be tidied up.
        "maintenance.auto": "false",
        "fastimport.unpackLimit": "1",
        "credential.helper": "",
        # git sends the token along wherever it is redirected to.
        "http.followRedirects": "false",
        # An aborted or crawling transfer ends by itself: 1000 bytes a second over half a minute.
        "http.lowSpeedLimit": "1000",
        "http.lowSpeedTime": "30",
    }
    extra = {
        "HOME": "/dev/null",  # unset, libcurl would look up the user's home for a .netrc
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GNUPGHOME": os.environ.get("GNUPGHOME") or f"{os.environ.get('HOME', '')}/.gnupg",  # for signing
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
        "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes -o ConnectTimeout=20"),
    }
    # git's libcurl may be built with GnuTLS, which doesn't read these by itself.
    trusted = {"http.sslCAInfo": os.environ.get("SSL_CERT_FILE"), "http.sslCAPath": os.environ.get("SSL_CERT_DIR")}
    if "GIT_SSL_CAINFO" not in os.environ:
        settings |= {name: value for name, value in trusted.items() if value}
    if where.token and where.url.startswith(("http://", "https://")):
        # With the first request already: git by itself would ask without, and be refused, each time.
        address = urlsplit(where.url)
        settings[f"http.{address.scheme}://{address.netloc}/.extraHeader"] = f"Authorization: Basic {_basic(where)}"
    return process.clean_environment({**extra, **_as_environment(settings)})


def _basic(where: Remote) -> str:
    token = where.token.get_secret_value() if where.token else ""
    return base64.b64encode(f"{where.user}:{token}".encode()).decode()


def _as_environment(settings: Mapping[str, str]) -> dict[str, str]:
    numbered = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        numbered |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return numbered


def resolve(where: Remote, ref: str, scratch: Path) -> str:
    """Return the full sha of a branch, a tag, a full name such as ``refs/tags/v1``, or a commit.

    Branches and tags are asked for without fetching anything; a full sha is taken at its word (fetching it
    will tell); an abbreviated one needs the list of commits, which goes to ``scratch``.

    Raises:
        InvalidInput: not a name git allows, or one that several different commits have.
        NotFound: there is no such branch, tag or commit.
    """
    check_ref(ref)
    if FULL_SHA.fullmatch(ref.lower()):
        return ref.lower()
    found = _named(where, ref)
    if SHORT_SHA.fullmatch(ref.lower()) and (sha := _resolve_short(where, ref.lower(), scratch)):
        found[f"the commit {sha}"] = sha
    if len(set(found.values())) > 1:
        known = ", ".join(name if sha in name else f"{name} ({sha[:12]})" for name, sha in found.items())
        raise InvalidInput(
            f"{ref!r} is ambiguous in {where.url}: {known}.", "Give one of the full names, or the commit's full sha."
        )
    if not found:
        raise NotFound(
            f"{ref!r} is not a branch, tag or commit of {where.url}.", "Push it first, or check the spelling."
        )
    return next(iter(found.values()))


def _named(where: Remote, ref: str) -> dict[str, str]:
    """The commits that have this name as a branch, as a tag or in full, by their full names."""
    names = (f"refs/heads/{ref}", f"refs/tags/{ref}", ref)
    asked = [each for name in names for each in (name, f"{name}^{{}}")]  # the latter is an annotated tag's commit
    answer = run(where, "ls-remote", "--", where.url, *asked)
    shas = {name: _sha1(where, sha) for sha, _, name in (line.partition("\t") for line in answer.split("\n"))}
    return {name: shas.get(f"{name}^{{}}", shas[name]) for name in names if name in shas}


def head(where: Remote, branch: str, directory: Path) -> str:
    """The newest commit of a branch, by its full sha, asked for from a repository of ours; nothing is fetched.

    Raises:
        NotFound: there is no such repository or branch.
        AccessDenied, Unavailable: as the git server answers.
    """
    ref = f"refs/heads/{branch}"
    for line in run(where, "ls-remote", "origin", ref, directory=directory).split("\n"):
        sha, _, name = line.partition("\t")
        if name == ref:
            return _sha1(where, sha)
    raise NotFound(f"{where.url} has no branch {branch}.", "Push it first, or check the spelling.")


def _sha1(where: Remote, sha: str) -> str:
    if len(sha) > len("0" * 40):
        raise explain(f"mismatched algorithms: {sha}", where.url)
    return sha


def branches(where: Remote) -> list[str]:
    """The names of a repository's branches.

    Raises:
        NotFound: there is no such repository.
        AccessDenied, Unavailable: as the git server answers.
    """
    rows = run(where, "ls-remote", "--heads", "--", where.url).splitlines()
    return [row.partition("\trefs/heads/")[2] for row in rows]


def check_ref(ref: str) -> None:
    """Refuse what git does not allow as a ref (git-check-ref-format(1)) and what it would take for an option.

    Raises:
        InvalidInput: names the ref.
    """
    forbidden = set(" ~^:?*[\\") & set(ref)
    parts = ref.split("/")
    if (
        not 0 < len(ref) <= 255
        or not ref.isprintable()
        or ref.startswith("-")
        or forbidden
        or ".." in ref
        or "@{" in ref
        or ref == "@"
        or any(not part or part.startswith(".") or part.endswith((".lock", ".")) for part in parts)
    ):
        raise InvalidInput(
            f"{ref[:80]!r} is not a branch, tag or commit.", "Give a name such as main, v1.2.0 or a sha."
        )


def _resolve_short(where: Remote, prefix: str, scratch: Path) -> str | None:
    fetch_history(where, scratch)
    return full_sha(where, prefix, scratch)


def fetch_history(where: Remote, directory: Path) -> None:
    """Fetch the commits of all branches and tags, without their files, into a new repository or one that is there.

    Raises:
        NotFound, AccessDenied, Unavailable: as the git server answers.
    """
    if not (directory / "HEAD").exists():
        init(directory, where)
    run(where, "fetch", "-q", "--filter=tree:0", "--tags", "origin", "+refs/heads/*:refs/heads/*", directory=directory)


def full_sha(where: Remote, prefix: str, directory: Path) -> str | None:
    """The full sha of a commit in a history that was fetched; ``None`` where there is none that begins so.

    Raises:
        InvalidInput: several commits do.
    """
    commits = run(where, "rev-list", "--all", directory=directory).split()
    matches = [sha for sha in commits if sha.startswith(prefix)]
    if len(matches) > 1:
        raise InvalidInput(f"{prefix} is the beginning of {len(matches)} commits.", "Give more of the sha.")
    return matches[0] if matches else None


def init(directory: Path, where: Remote | None = None) -> None:
    """Make an empty bare repository, by hand: these few files are one (gitrepository-layout(5)).

    If ``where`` is a repository on this machine, it lends its objects ("objects/info/alternates"). The attributes
    make ``git archive`` hand out every file of a commit as a checkout would.
    """
    for part in ("objects/info", "refs", "info"):
        (directory / part).mkdir(parents=True)
    (directory / "HEAD").write_text("ref: refs/heads/none\n")
    (directory / "info" / "attributes").write_text("* -export-ignore -export-subst\n")
    if where and (objects := lent(where)):
        (directory / "objects" / "info" / "alternates").write_text(f"{objects}\n")


def lent(where: Remote) -> Path | None:
    """The folder of objects that a whole bare repository on this machine lends."""
    bare = Path(where.url).absolute()
    whole = (bare / "objects").is_dir() and (bare / "HEAD").is_file() and not (bare / "shallow").exists()
    return bare / "objects" if whole and not (bare / ".git").exists() else None


def fetch_commit(where: Remote, sha: str, directory: Path, *options: str) -> None:
    """Fetch one commit with all its files and without its history into a new repository, unless it is lent.

    Args:
        where: the repository it is in.
        sha: full sha of the commit.
        directory: the new repository.
        options: more of git-fetch(1)'s, such as a filter.

    Raises:
        NotFound: no branch or tag of the repository has this commit.
    """
    init(directory, where)
    if lent(where) and has(directory, sha):
        return
    try:
        run(where, "fetch", "-q", *options, "--depth=1", "--no-tags", "origin", sha, directory=directory)
    except NotFound:
        # Some servers hand out only what a branch or tag points at: take everything, then look.
        run(where, "fetch", "-q", *options, "--tags", "origin", "+refs/heads/*:refs/heads/*", directory=directory)
        if sha not in run(where, "rev-list", "--all", directory=directory).split():
            raise NotFound(f"{where.url} has no commit {sha}.", "Push it first, or check the sha.") from None


def fetch_folders(where: Remote, sha: str, directory: Path) -> None:
    """Fetch one commit as :func:`fetch_commit`, but without its files where the server can do so.

    Raises:
        NotFound: no branch or tag of the repository has this commit.
    """
    fetch_commit(where, sha, directory, "--filter=blob:none")
    # Forget that it is a part of another one: git would go and fetch each file that is asked for, by itself.
    (directory / "config").unlink(missing_ok=True)


def has(directory: Path, *objects: str) -> bool:
    """Whether a repository has all of these objects."""
    asked = "".join(f"{name}\n" for name in objects).encode()
    answer = run(Remote(str(directory)), "cat-file", "--batch-check", directory=directory, stdin=asked)
    return not any(line.endswith(" missing") for line in answer.splitlines())


@contextmanager
def archive(directory: Path, sha: str, folder: str = "") -> Iterator[IO[bytes]]:
    """Stream a commit's files, or those of a folder, as a tar: content as in a checkout, paths as in the commit."""
    what = [sha, "--", folder] if folder else [sha]
    command = ["git", "-C", str(directory), "--literal-pathspecs", "archive", "--format=tar", *what]
    with process.stream(command, env=environment(Remote(str(directory)))) as out:
        yield out


def read(directory: Path, sha: str, path: str) -> bytes | None:
    """A file of a commit; ``None`` where the commit has no such file."""
    here = Remote(str(directory))
    if not run(here, "ls-tree", sha, "--", path, directory=directory).strip():
        return None
    return run_bytes(here, "cat-file", "blob", f"{sha}:{path}", directory=directory)
