"""What each git server says, and what it means: one row for each."""

import time

import pytest

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
from tasks.core.git.errors import explain

HTTPS, SSH, FILE = "https://git.example/org/devops.git", "git@git.example:org/devops.git", "/srv/devops.git"
Rows = list[tuple[str, str, type[DeliveryError], str]]
"""A URL, the words, the error's type, and a part of its hint."""

READ = "\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\n"
READ += "and the repository exists.\n"


def http(code: int, said: str = "") -> str:
    return f"{said}fatal: unable to access '{HTTPS}/': The requested URL returned error: {code}\n"


def status(reason: str, said: str = "") -> str:
    """A push that the server refused."""
    return f"{said}To {HTTPS}\n ! [remote rejected] 1a888a0 -> main ({reason})\nerror: failed to push some refs\n"


def declined(*said: str) -> str:
    """A push that a hook of the server's declined."""
    return status("pre-receive hook declined", "".join(f"remote: {line}\n" for line in said))


GITHUB: Rows = [
    (HTTPS, http(403, "remote: Permission to org/devops.git denied to bot.\n"), AccessDenied, "GITOPS_TOKEN"),
    (HTTPS, http(403, "remote: Write access to repository not granted.\n"), AccessDenied, "GITOPS_TOKEN"),
    (HTTPS, http(403, "remote: This repository was archived so it is read-only.\n"), AccessDenied, "GITOPS_TOKEN"),
    (HTTPS, f"remote: Invalid username or token.\nfatal: Authentication failed for '{HTTPS}/'\n", AccessDenied, ""),
    (HTTPS, f"remote: Repository not found.\nfatal: repository '{HTTPS}/' not found\n", NotFound, "private"),
    (
        HTTPS,
        status(
            "protected branch hook declined",
            "remote: error: GH006: Protected branch update failed for refs/heads/main.\n"
            "remote: error: Changes must be made through a pull request.\n",
        ),
        PushRefused,
        "PULL_REQUESTS",
    ),
    (
        HTTPS,
        status(
            "push declined due to repository rule violations",
            "remote: error: GH013: Repository rule violations found for refs/heads/main.\n"
            "remote: - Commits must have verified signatures.\n",
        ),
        PushRefused,
        "COMMIT_SIGNING_KEY",
    ),
    (HTTPS, status("cannot lock ref 'refs/heads/main': is at 1a but expected 2b"), LostRace, ""),
    (HTTPS, status("Internal Server Error"), Unavailable, ""),
    (HTTPS, http(403, "remote: You have exceeded a secondary rate limit.\n"), Unavailable, ""),
    (HTTPS, http(429), Unavailable, ""),
    (HTTPS, http(503), Unavailable, ""),
    (SSH, f"ERROR: The key you are authenticating with has been marked as read only.{READ}", AccessDenied, "SSH key"),
    (SSH, f"ERROR: Permission to org/devops.git denied to deploy key{READ}", AccessDenied, "SSH key"),
    (SSH, f"git@git.example: Permission denied (publickey).{READ}", AccessDenied, "SSH key"),
    (SSH, f"ERROR: Repository not found.{READ}", NotFound, ""),
    (SSH, f"ERROR: An IP allow list is on, and 192.0.2.1 is not permitted to access this.{READ}", AccessDenied, ""),
]

HOOKS: Rows = [
    (
        HTTPS,
        declined("error: GH013: Rule violations.", "- Changes must go through the merge queue"),
        PushRefused,
        "PULL",
    ),
    (
        HTTPS,
        declined("error: GH006: Protected.", 'error: Required status check "ci" is expected.'),
        PushRefused,
        "checks",
    ),
    (
        HTTPS,
        declined("error: GH006: Protected.", "error: Commits must have verified signatures."),
        PushRefused,
        "SIGNING",
    ),
    (
        HTTPS,
        declined("error: GH006: Protected.", "error: Cannot change this locked branch"),
        PushRefused,
        "PULL_REQUESTS",
    ),
    (HTTPS, declined("error: GH007: Your push would publish a private email address."), PushRefused, "COMMIT_AUTHOR"),
    (
        HTTPS,
        declined("GitLab: Commit message does not follow the pattern '^JIRA-[0-9]+'"),
        PushRefused,
        "COMMIT_PREFIX",
    ),
    (HTTPS, declined("GitLab: Author 'ci[bot]' is not a member of team"), PushRefused, "COMMIT_AUTHOR"),
    (HTTPS, declined("GitLab: Internal API error (502)"), Unavailable, ""),
    (HTTPS, declined("GitLab: Push operation timed out"), Unavailable, ""),
    (HTTPS, declined("GitLab: The repository is temporarily read-only. Please try again later."), Unavailable, ""),
    (HTTPS, declined("Gitea: Internal Server Error", "Error: 500"), Unavailable, ""),
    (HTTPS, declined("Forgejo: Failed to run a command", "Internal Server Connection Error"), Unavailable, ""),
    (HTTPS, declined("The branch is frozen until Monday. Fix your commit and try again."), PushRefused, "follow what"),
]
"""What hooks of the servers' own say, and why it isn't always final."""

GITLAB: Rows = [
    (HTTPS, f"remote: HTTP Basic: Access denied.\nfatal: Authentication failed for '{HTTPS}/'\n", AccessDenied, ""),
    (HTTPS, http(403, "remote: You are not allowed to push code to this project.\n"), AccessDenied, "GITOPS_TOKEN"),
    (
        HTTPS,
        status(
            "pre-receive hook declined",
            "remote: GitLab: You are not allowed to push code to protected branches on this project.\n",
        ),
        PushRefused,
        "Allow the account",
    ),
    (
        HTTPS,
        status("pre-receive hook declined", "remote: GitLab: Internal API unreachable\n"),
        Unavailable,
        "",
    ),
    (
        HTTPS,
        status("pre-receive hook declined", "remote: GitLab: Commit must be signed with a GPG key\n"),
        PushRefused,
        "COMMIT_SIGNING_KEY",
    ),
    (
        SSH,
        "remote: \nremote: ========================\nremote: \n"
        "remote: ERROR: This deploy key does not have write access to this project.\nremote: \n"
        f"remote: ========================\nremote: {READ}",
        AccessDenied,
        "SSH key",
    ),
    (
        SSH,
        "remote: ERROR: The project you were looking for could not be found or you don't have permission to view it."
        f"\n{READ}",
        NotFound,
        "",
    ),
]

GITEA: Rows = [
    (HTTPS, f"remote: Unauthorized\nfatal: Authentication failed for '{HTTPS}/'\n", AccessDenied, "GITOPS_TOKEN"),
    (
        HTTPS,
        status("pre-receive hook declined", "remote: Forgejo: Not allowed to push to protected branch main\n"),
        PushRefused,
        "Allow the account",
    ),
    (SSH, f"Gitea: Key: 5:deploy is not authorized to write to org/devops.{READ}", AccessDenied, "SSH key"),
    (SSH, f"Forgejo: User permission denied for writing.{READ}", AccessDenied, "SSH key"),
    (SSH, f"Gitea: Cannot find repository: org/devops{READ}", NotFound, ""),
    (SSH, f"Forgejo: Unable to find a repository with that name{READ}", NotFound, ""),
]

BITBUCKET: Rows = [
    (
        HTTPS,
        http(
            403,
            "remote: You may not have access to this repository or it no longer exists in this workspace. If you think "
            "this repository exists and you have access, make sure you are authenticated.\n",
        ),
        AccessDenied,
        "GITOPS_USERNAME",
    ),
    (
        HTTPS,
        status(
            "pre-receive hook declined",
            "remote: Branch refs/heads/main can only be modified through pull requests.\nremote: \n",
        ),
        PushRefused,
        "PULL_REQUESTS",
    ),
    (SSH, f"repository access denied. access via a deployment key is read-only.{READ}", AccessDenied, "SSH key"),
    (SSH, f"Unauthorized{READ}", AccessDenied, "SSH key"),
    (HTTPS, "fatal: remote error: CAPTCHA required\nYour account has been marked so.\n", AccessDenied, "GITOPS_TOKEN"),
    (
        SSH,
        "fatal: remote error: Repository not found\nThe requested repository does not exist, or you do not have "
        "permission to access it.\n",
        NotFound,
        "",
    ),
]

AZURE: Rows = [
    (
        HTTPS,
        "remote: TF401019: The Git repository with name or identifier devops does not exist or you do not have "
        f"permissions for the operation you are attempting.\nfatal: repository '{HTTPS}/' not found\n",
        NotFound,
        "",
    ),
    (
        HTTPS,
        http(403, "remote: TF401027: You need the Git 'GenericContribute' permission to perform this action.\n"),
        AccessDenied,
        "GITOPS_TOKEN",
    ),
    (
        HTTPS,
        status("TF402455: Pushes to this branch are not permitted; you must use a pull request to update this branch."),
        PushRefused,
        "PULL_REQUESTS",
    ),
    (
        HTTPS,
        status(
            "TF401028: The reference 'refs/heads/main' has already been updated by another client, so you cannot "
            "update it. Please try again."
        ),
        LostRace,
        "",
    ),
    (HTTPS, f"fatal: {HTTPS}/info/refs not valid: is this a git repository?\n", InvalidInput, "log in"),
    (SSH, f"remote: Public key authentication failed.{READ}", AccessDenied, "SSH key"),
]

CODECOMMIT: Rows = [
    (HTTPS, http(403), AccessDenied, "GITOPS_USERNAME"),
    (HTTPS, f"fatal: repository '{HTTPS}/' not found\n", NotFound, ""),
    (
        HTTPS,
        status("User: arn:aws:iam::1:user/bot is not authorized to perform: codecommit:GitPush with an explicit deny"),
        PushRefused,
        "",
    ),
]

GERRIT: Rows = [
    (HTTPS, status("prohibited by Gerrit: not permitted: update"), PushRefused, "Allow the account"),
    (
        HTTPS,
        status(
            "commit 1a888a0: email address bot@example.com is not registered in your account, and you lack "
            "'forge committer' permission"
        ),
        PushRefused,
        "COMMIT_AUTHOR",
    ),
    (HTTPS, status("failed to lock"), LostRace, ""),
    (HTTPS, status("lock error: main"), LostRace, ""),
    (HTTPS, status("commit 1a888a0: missing Change-Id in message footer"), PushRefused, "COMMIT_LINES"),
    (HTTPS, status("internal server error"), Unavailable, ""),
    (SSH, f"fatal: Project not found: org/devops{READ}", NotFound, ""),
    (SSH, "fatal: remote error: want 1a888a0ec8ebaf6721375ad464d027ad890b1c8a not valid\n", NotFound, ""),
]

EVERY: Rows = [
    (HTTPS, " ! [rejected] 1a888a0 -> main (fetch first)\nerror: failed to push some refs\n", LostRace, ""),
    (HTTPS, " ! [rejected] 1a888a0 -> main (non-fast-forward)\nerror: failed to push some refs\n", LostRace, ""),
    (HTTPS, " ! [rejected] 1a888a0 -> flowise/dev (stale info)\n", LostRace, ""),
    (HTTPS, status("cannot lock ref 'refs/heads/main': Unable to create 'main.lock': File exists."), LostRace, ""),
    (HTTPS, status("incorrect old value provided"), LostRace, ""),
    (HTTPS, status("non-fast-forward", "remote: error: denying non-fast-forward refs/heads/x\n"), PushRefused, ""),
    (
        HTTPS,
        status(
            "failed to update ref",
            "remote: error: cannot lock ref 'refs/heads/flowise/dev': 'refs/heads/flowise' exists; cannot create\n",
        ),
        Conflict,
        "Rename or delete",
    ),
    (HTTPS, status("unpacker error", "remote: fatal: write error: No space left on device\n"), Unavailable, ""),
    (
        FILE,
        status("unpacker error", "remote: error: insufficient permission for adding an object to repository\n"),
        AccessDenied,
        "folder",
    ),
    (HTTPS, status("words that nobody knows"), Unavailable, ""),
    (HTTPS, status("pre-receive hook declined", "remote: fatal: not found, fetch first, timeout\n"), PushRefused, ""),
    (HTTPS, "fatal: mismatched algorithms: client sha1; server sha256\n", InvalidInput, "sha1"),
    (HTTPS, "fatal: unable to access 'https://x/': SSL certificate problem: unable to get\n", InvalidInput, "SSL_CERT"),
    (HTTPS, "fatal: unable to access: server certificate verification failed. CAfile: none\n", InvalidInput, "SSL_C"),
    (HTTPS, "fatal: unable to access: Received HTTP code 407 from proxy after CONNECT\n", InvalidInput, "HTTPS_PROXY"),
    (HTTPS, "fatal: unable to access: CONNECT tunnel failed, response 407\n", InvalidInput, "NO_PROXY"),
    (HTTPS, "fatal: unable to access: Received HTTP code 503 from proxy after CONNECT\n", Unavailable, ""),
    (HTTPS, "fatal: unable to access 'https://git.example/': Could not resolve host: git.example\n", Unavailable, ""),
    (HTTPS, "error: RPC failed; curl 56 Recv failure\nfatal: early EOF\n", Unavailable, ""),
    (SSH, f"Host key verification failed.{READ}", AccessDenied, "known_hosts"),
    (SSH, f"ssh: connect to host git.example port 22: Connection timed out{READ}", Unavailable, ""),
    (SSH, f"Unable to negotiate: no matching host key type found. Their offer: ssh-rsa{READ}", InvalidInput, "GIT_SSH"),
    (SSH, f"kex_exchange_identification: Connection closed by remote host{READ}", Unavailable, ""),
    (SSH, "error: cannot run ssh: No such file or directory\nfatal: unable to fork\n", InvalidInput, "SSH client"),
    (FILE, f"fatal: '/srv/devops.git' does not appear to be a git repository{READ}", NotFound, ""),
    (FILE, "fatal: detected dubious ownership in repository at '/srv/devops.git'\n", AccessDenied, "folder"),
    ("ext::sh", "fatal: transport 'ext' not allowed\n", InvalidInput, "owner/name"),
    (HTTPS, "words that nobody knows\n", Unavailable, ""),
    (HTTPS, "", Unavailable, ""),
]


@pytest.mark.parametrize(
    ("url", "words", "kind", "hint"),
    [
        pytest.param(*row, id=f"{name}-{number}")
        for name, rows in (
            ("github", GITHUB),
            ("hooks", HOOKS),
            ("gitlab", GITLAB),
            ("gitea", GITEA),
            ("bitbucket", BITBUCKET),
            ("azure", AZURE),
            ("codecommit", CODECOMMIT),
            ("gerrit", GERRIT),
            ("every", EVERY),
        )
        for number, row in enumerate(rows)
    ],
)
@pytest.mark.parametrize(
    "noise",
    [
        "",
        "Could not create directory '/.ssh' (Permission denied).\nFailed to add the host to the list of known hosts.\n",
        "Unauthorized access is prohibited. Authentication failed attempts are logged.\n"
        "warning: filtering not recognized by server, ignoring\n",
    ],
    ids=["quiet", "no home", "banner"],
)
def test_what_a_server_says(noise: str, url: str, words: str, kind: type[DeliveryError], hint: str) -> None:
    if not words or "nobody knows" in words:
        noise = ""  # then nothing else is known
    told = explain(noise + words, url)
    assert type(told) is kind
    assert hint in told.hint
    assert url in told.message
    assert "GITOPS_TOKEN" not in told.hint or url.startswith("https://"), "a token is no help over SSH"


@pytest.mark.parametrize("word", ["internal api ", "permission to ", "unsupport ", "a -> b (", "fatal: "])
def test_a_server_s_words_are_read_in_linear_time(word: str) -> None:
    begun = time.monotonic()
    for said in ("remote: {}\n ! [remote rejected] a -> main (pre-receive hook declined)", "fatal: {}"):
        explain(said.format(word * (200_000 // len(word))), HTTPS)
    assert time.monotonic() - begun < 5


def test_what_says_nothing_of_its_own_is_shown_as_it_is() -> None:
    assert "hung up unexpectedly" in explain("fatal: the remote end hung up unexpectedly", HTTPS).message
    assert explain("", HTTPS).message == f"git could not talk to {HTTPS}: it gave no reason"
