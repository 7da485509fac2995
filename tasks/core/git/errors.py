"""What git says when it fails, as one of our errors.

git writes everything to stderr: warnings of ssh's, pages of hooks', hints, and the one line that counts. For a push
that is ``! [remote rejected] ref -> ref (reason)``; else it is the last line that is known here. So neither what comes
before it nor what a hook prints decides.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tasks.core.errors import (
    AccessDenied,
    Conflict,
    DeliveryError,
    InvalidInput,
    LostRace,
    NotFound,
    PushRefused,
    Unavailable,
)


class Meaning(NamedTuple):
    """An error's type and words; a hint may differ by transport: ``https``, ``ssh`` or ``file``."""

    kind: type[DeliveryError]
    message: str
    hints: str | Mapping[str, str] = ""


REFUSED = Meaning(
    PushRefused,
    "{url} refused the push: {said}",
    "Allow the account that pushes to write to this branch, or follow what the server says.",
)
WANTS_PULL_REQUEST = Meaning(
    PushRefused,
    "{url} refused the push: {said}",
    "Add the environment to PULL_REQUESTS (on GitHub), or allow the account that pushes to write to this branch.",
)
WANTS_CHECKS = Meaning(
    PushRefused,
    "{url} refused the push: {said}",
    "Only a pull request can have checks: add the environment to PULL_REQUESTS (on GitHub), or let the account that "
    "pushes bypass the rule.",
)
WANTS_SIGNATURE = Meaning(PushRefused, "{url} refused the push: {said}", "Set COMMIT_SIGNING_KEY.")
WANTS_MESSAGE = Meaning(
    PushRefused, "{url} refused the push: {said}", "Set COMMIT_PREFIX or COMMIT_LINES to what the server asks for."
)
WANTS_AUTHOR = Meaning(
    PushRefused, "{url} refused the push: {said}", "Set COMMIT_AUTHOR to a name and address that the server accepts."
)
DENIED = Meaning(
    AccessDenied,
    "{url} refused these credentials: {said}",
    {
        "https": "Check GITOPS_TOKEN or the GitHubCredentials block: set, not expired, allowed to write to this "
        "repository? Some servers want a user name with it: GITOPS_USERNAME.",
        "ssh": "Check the SSH key: known to the server, and allowed to write to this repository? "
        "ssh-agent or GIT_SSH_COMMAND says which one git uses.",
        "file": "Check who owns the repository's folder and who may write there.",
    },
)
FOREIGN = Meaning(
    AccessDenied,
    "The folder of {url} belongs to another user: {said}",
    {
        "https": "Its owner is to be corrected on the server.",
        "ssh": "Its owner is to be corrected on the server.",
        "file": "Run git config --global --add safe.directory {url} as the user that runs this, or give that user the "
        "folder.",
    },
)
UNKNOWN_HOST = Meaning(
    AccessDenied,
    "The SSH host key of {url} isn't known, or has changed: {said}",
    "Compare the key with the one that the server's owner publishes, then add it to ~/.ssh/known_hosts.",
)
UNTRUSTED = Meaning(
    InvalidInput,
    "git doesn't trust the certificate of {url}: {said}",
    "Set SSL_CERT_FILE to a file with your certificate authority in it.",
)
PROXY = Meaning(
    InvalidInput,
    "The proxy refused a connection to {url}: {said}",
    "Check HTTPS_PROXY, its credentials, and NO_PROXY.",
)
LOST = Meaning(LostRace, "Another writer pushed to {url} first.", "Run again. Git said: {said}")
IN_THE_WAY = Meaning(
    Conflict,
    "{url} has a branch whose name is in the way of another: {said}",
    "Rename or delete that branch: git keeps branches as files, and one can't be a folder as well.",
)
MISSING = Meaning(
    NotFound,
    "{url} does not have what was asked for: {said}",
    "Check the repository's name and the branch. Servers say 'not found' of private repositories, too, "
    "if the account may not read them.",
)
UNUSABLE = Meaning(InvalidInput, "{url} is not what git may fetch from: {said}", "Use owner/name, a git URL or a path.")
NOT_GIT = Meaning(
    InvalidInput,
    "What answers at {url} isn't a git server: {said}",
    "Check the URL; an expired token may lead to a page for people to log in.",
)
NO_CIPHER = Meaning(
    InvalidInput,
    "ssh and {url} have no algorithm in common: {said}",
    "Allow one that the server offers by an option in GIT_SSH_COMMAND, or have the server updated.",
)
NO_SSH = Meaning(InvalidInput, "ssh can't be started for {url}: {said}", "Install an SSH client, or use HTTPS.")
SHA256 = Meaning(
    InvalidInput,
    "{url} is a SHA-256 repository, which isn't supported: {said}",
    "Use a repository with SHA-1 names: git init --object-format=sha1.",
)
UNSIGNED = Meaning(
    InvalidInput,
    "git can't sign the commit for {url}: {said}",
    "Set COMMIT_SIGNING_KEY to the file of a private SSH key without a passphrase, or to a key id that gpg knows.",
)
PASSING = Meaning(Unavailable, "{url} can't do it for now: {said}")
UNKNOWN = Meaning(Unavailable, "git could not talk to {url}: {said}")

STATUS = re.compile(r"\s*! \[(?:remote )?(?:rejected|failure)\] .*? -> \S+ \((.*)\)$")

NOISE = re.compile(
    r"warning:|hint:|Could not create directory '|Failed to add the host|Pseudo-terminal|To \S+$"
    r"|error: failed to push some refs|fatal: Could not read from remote repository\.$|Please make sure you have"
    r"|and the repository exists\.$|fatal: the remote end hung up|(remote:)?\W*$|send-pack: unexpected disconnect",
    re.IGNORECASE,
)
"""Lines that never decide: warnings, advice, and what git adds to every failure of a kind."""

ONLY_BY_NAME = r"unadvertised object|want [0-9a-f]+ not valid"
"""What servers say that hand out only what a branch or a tag points at."""

Table = tuple[tuple[str, Meaning], ...]

HOOK_AWAY: Table = (
    (r"internal (api|server|connection)\b.{,60}(unreachable|not accessible|error)|operation timed out", PASSING),
    (r"temporarily (read-only|unavailable)", PASSING),
)
"""What GitLab's and Gitea's own hooks say when they decline a push because what they ask is away."""

WANTED: Table = (
    (r"pull request|merge (request|queue)", WANTS_PULL_REQUEST),
    (r"status check", WANTS_CHECKS),
    (r"verified signature|must be signed|(gpg|ssh) signature|signed commits|unsigned", WANTS_SIGNATURE),
    (r"commit message|message footer|change-id", WANTS_MESSAGE),
    (r"forge (author|committer)|(committer|author)('s)? (e-?mail|name|address)|not registered in your", WANTS_AUTHOR),
    (r"\bauthor '|private email|email privacy", WANTS_AUTHOR),
    (r"GH006", WANTS_PULL_REQUEST),
)
"""What a server, or its hook, asks of a commit."""

DECLINED: Table = (*HOOK_AWAY, *WANTED, (r"", REFUSED))
"""What a hook says when it declines a push; any other words are its own, and final."""

PUSHES: Table = (
    (r"exists; cannot create", IN_THE_WAY),
    (r"no space left|read-only file system|disk quota", PASSING),
    (r"insufficient permission|permission denied", DENIED),
    (r"non-fast-forward|fetch first|stale info|failed to lock|lock.?fail|cannot lock ref|lock error|TF401028", LOST),
    (r"incorrect old value provided|reference already exists", LOST),
    (r"internal (server )?error|time[d ]?.?out|unavailable|temporar|try again|commit_refs|abnormal exit", PASSING),
    *WANTED,
    (r"TF402455|refs/for/", WANTS_PULL_REQUEST),
    (r"protected|prohibit|not (permitted|allowed|authorized)|violat|den(y|ied)|refus|reject|declin|must", REFUSED),
    (r"GH0\d\d|VS40\d+|TF40\d+|currently checked out|shallow update|funny refname", REFUSED),
)
"""What the reason for a refused push means; the first that occurs decides."""

OTHERS: Table = (
    (r"failed to sign|load (public )?key|failed to write commit object", UNSIGNED),
    (r"mismatched algorithms|unknown (hash|object) (algorithm|format)|(un|not )support.{,60} object format", SHA256),
    (r"host key verification failed|host identification has changed", UNKNOWN_HOST),
    (r"cannot run .?ssh|ssh: (command )?not found", NO_SSH),
    (r"unable to negotiate|no matching (host key|cipher|key exchange|mac)", NO_CIPHER),
    (r"certificate|CAfile", UNTRUSTED),
    (r"(HTTP code|response|error:) 407|HTTP code 403 from proxy|CONNECT tunnel failed, response 403", PROXY),
    (r"rate limit|too many requests|returned error: (408|425|429|5\d\d)|HTTP 5\d\d|HTTP code 5\d\d", PASSING),
    (r"no space left|internal server error|internal api (unreachable|is not accessible)", PASSING),
    (r"could not resolve|connection (refused|reset|timed out|closed)|operation timed out|early EOF", PASSING),
    (r"network is unreachable|no route to host|couldn't connect|failed to connect|RPC failed; curl", PASSING),
    (r"authentication failed|could not read (username|password)|(returned error:|HTTP) 40[13]\b", DENIED),
    (r"dubious ownership", FOREIGN),
    (r"permission (to .{,200} )?denied|insufficient permission|too many authentication", DENIED),
    (r"unauthorized|access denied|public key authentication|invalid key|not authorized|archived", DENIED),
    (r"not permitted to access|captcha", DENIED),
    (r"read.only|does not have write|write access .*not granted|not allowed to (push|upload|download)", DENIED),
    (r"TF401027|TF400813|denied for writing|access via a deployment key", DENIED),
    (r"credentials for \S+ not found|authorization error", DENIED),
    (r"remote missing object|object does not exist on the server", MISSING),
    (r"not found|((could|can)\s?not|unable to) (be found|find)|does not exist|no longer exists|TF401019", MISSING),
    (r"does not appear to be a git repository|returned error: 404|couldn't find remote ref", MISSING),
    (rf"not our ref|{ONLY_BY_NAME}|no such (file|project)", MISSING),
    (r"not valid: is this a git repository|bad line length", NOT_GIT),
    (r"fatal: transport '|unable to find remote helper", UNUSABLE),
)
"""What any other line means; the last line that is known decides."""


def explain(words: str, url: str) -> DeliveryError:
    """Return git's failure as one of ours; what isn't known may be tried again."""
    told = [line for line in words.splitlines() if not NOISE.match(line.strip())]
    meaning, said = _meaning(told), ("\n".join(told).strip() or words.strip() or "it gave no reason")[-2000:]
    hint = meaning.hints if isinstance(meaning.hints, str) else meaning.hints[_transport(url)]
    return meaning.kind(meaning.message.format(url=url, said=said), hint.format(said=said, url=url))


def only_by_name(error: NotFound) -> bool:
    """Whether a server hands out only what a branch or a tag points at, so that the thing may be there all the same."""
    return re.search(ONLY_BY_NAME, error.message) is not None


def _meaning(told: Sequence[str]) -> Meaning:
    reason = next((found[1] for line in told if (found := STATUS.match(line))), "")
    if not reason:
        known = next(filter(None, (_find(OTHERS, line) for line in reversed(told))), UNKNOWN)
        busy = known is DENIED and any("rate limit" in line.lower() for line in told)
        return PASSING if busy else known
    around = "\n".join(line for line in told if line.startswith(("remote:", "error:")))
    if "declined" in reason:
        return _find(DECLINED, f"{reason}\n{around}") or REFUSED
    if "denying non-fast-forward" in around:
        return REFUSED
    return _find(PUSHES, reason) or _find(PUSHES, around) or UNKNOWN


def _find(table: Table, text: str) -> Meaning | None:
    return next((meaning for known, meaning in table if re.search(known, text, re.IGNORECASE)), None)


def _transport(url: str) -> str:
    if url.startswith(("http://", "https://")):
        return "https"
    return "ssh" if re.match(r"(git\+)?ssh://|[^/]*[^/:]:", url) else "file"
