"""What git says when it fails, as one of our errors."""

from tasks.core.errors import AccessDenied, DeliveryError, InvalidInput, LostRace, NotFound, PushRefused, Unavailable
from tasks.core.system.process import CommandFailed

REFUSED = (
    PushRefused,
    "{url} refused the push: {said}",
    "Allow the token's owner to push to this branch, or look at what the server's hook says.",
)
DENIED = (
    AccessDenied,
    "{url} refused these credentials: {said}",
    "Check GITOPS_TOKEN or the GitHubCredentials block: set, not expired, allowed to use this repository?",
)
LOST = (LostRace, "Another writer pushed to {url} first.", "Run again. Git said: {said}")
MISSING = (
    NotFound,
    "{url} does not have what was asked for: {said}",
    "Check the repository's name and the branch. GitHub says 'not found' of private repositories, too, "
    "when the token may not read them.",
)
UNUSABLE = (InvalidInput, "{url} is not what git may fetch from: {said}", "Use owner/name, a git URL or a path.")

UNSIGNED = (
    InvalidInput,
    "git can't sign the commit for {url}: {said}",
    "Set COMMIT_SIGNING_KEY to the file of a private SSH key without a passphrase, or to a key id that gpg knows.",
)

MEANINGS: dict[str, tuple[type[DeliveryError], str, str]] = {
    "failed to sign": UNSIGNED,
    "load public key": UNSIGNED,
    "failed to write commit object": UNSIGNED,
    "hook declined": REFUSED,  # first, because a hook's own words may be any of the others
    "authentication failed": DENIED,
    "could not read username": DENIED,
    "could not read password": DENIED,
    "permission denied": DENIED,
    "returned error: 401": DENIED,
    "returned error: 403": DENIED,
    "host key verification failed": DENIED,
    "dubious ownership": DENIED,
    "non-fast-forward": LOST,
    "fetch first": LOST,
    "cannot lock ref": LOST,
    "incorrect old value provided": LOST,
    "remote rejected": REFUSED,
    "does not appear to be a git repository": MISSING,
    "returned error: 404": MISSING,
    "couldn't find remote ref": MISSING,
    "not our ref": MISSING,
    "does not exist": MISSING,
    "no such file or directory": MISSING,
    "unadvertised object": MISSING,
    "not found": MISSING,
    "fatal: transport '": UNUSABLE,
    "unable to find remote helper": UNUSABLE,
}
"""What git's words mean: the first that occur decide."""


def explain(error: CommandFailed, url: str) -> DeliveryError:
    """Git's failure as one of ours. What isn't recognised as final counts as a matter of the network."""
    said = error.stderr.lower()
    for words, (kind, message, hint) in MEANINGS.items():
        if words in said:
            last = error.stderr.strip()[-2000:]
            return kind(message.format(url=url, said=last), hint.format(said=last))
    return Unavailable(f"git could not talk to {url}: {error}")
