"""The door to git: how it is started, and what comes of a command.

Git runs in a clean environment: no configuration of the user's or the machine's, no hooks, no prompts,
English messages, bounded time. A token travels in the child's environment, as configuration that git's own
URL matching keeps to the one host it is for; it is never in an argument, a URL or a file.
"""

import base64
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tasks.core.errors import InvalidInput
from tasks.core.git.errors import explain
from tasks.core.git.remotes import Remote
from tasks.core.system import process
from tasks.core.system.process import CommandFailed

REDIRECTED = re.compile(r"The requested URL returned error: 3\d\d")

OWN_CONFIGURATION = ("HOME", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
"""The variables that say where the user's own configuration of git is."""

NO_REF = "couldn't find remote ref"
"""What git says of a branch that isn't there, and of any web page: it takes one for a list of no branches."""


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
    if NO_REF in said and (page := _page(where)):
        failure = explain(page, where.url)
    secrets = [where.token.get_secret_value(), _basic(where)] if where.token else []
    raise type(failure)(process.redact(failure.message, secrets), process.redact(failure.hint, secrets))


def _moved(where: Remote) -> InvalidInput:
    """Name the place a git server redirects to; git itself only says that it does."""
    to = "elsewhere"
    with suppress(httpx.HTTPError, httpx.InvalidURL, KeyError):
        new = httpx.URL(_answer(where).headers["location"])
        to = f"to {new.copy_with(userinfo=b'', query=None, fragment=None)}".removesuffix("/info/refs")
    return InvalidInput(
        f"The git server redirects {where.url} {to}.",
        "Set GITOPS_REPO or SOURCE_REPO to the repository's own URL. Redirects are not followed, because they would "
        "send the token to another place.",
    )


def _page(where: Remote) -> str:
    """Return git's words for a web page, if one answers in the place of a git server; else nothing."""
    with suppress(httpx.HTTPError, httpx.InvalidURL):
        if where.url.startswith("http") and "text/html" in _answer(where).headers.get("content-type", ""):
            return "fatal: info/refs not valid: is this a git repository? A web page answers."
    return ""


def _answer(where: Remote) -> httpx.Response:
    """Ask a server for its branches as git does, and return the answer that git keeps to itself."""
    headers = {"Authorization": f"Basic {_basic(where)}"} if where.token else {}
    url = f"{where.url.rstrip('/')}/info/refs"
    return httpx.get(url, params={"service": "git-upload-pack"}, headers=headers, timeout=20)


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
    """Return the environment of a git command that talks to ``where``."""
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
    clean = process.clean_environment({**extra, **_as_environment(settings)})
    if own := _own_configuration(where.url):
        clean = {name: value for name, value in clean.items() if name not in OWN_CONFIGURATION} | own
    return clean


def _own_configuration(url: str) -> dict[str, str]:
    """Return where the user's configuration is, if the repository is another user's folder and that allows to read it.

    git takes ``safe.directory`` from files alone when it serves a folder to itself.
    """
    own = {name: value for name in OWN_CONFIGURATION if (value := os.environ.get(name))}
    try:
        if Path(url.removeprefix("file://")).stat().st_uid == os.geteuid():
            return {}
        env = process.clean_environment({**own, "GIT_DIR": os.devnull})
        process.run(["git", "config", "--get-all", "safe.directory"], env=env, timeout=20)
    except (CommandFailed, OSError, ValueError):  # a URL is no path; git says by an error that nothing is allowed
        return {}
    return own


def _basic(where: Remote) -> str:
    token = where.token.get_secret_value() if where.token else ""
    return base64.b64encode(f"{where.user}:{token}".encode()).decode()


def _as_environment(settings: Mapping[str, str]) -> dict[str, str]:
    numbered = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (key, value) in enumerate(settings.items()):
        numbered |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return numbered
