"""Git without a checkout: the verbs of the command line, and what its words mean."""

from tasks.core.git.cli import environment, installed, run, run_bytes
from tasks.core.git.errors import only_by_name
from tasks.core.git.refs import FULL_SHA, branches, check_ref, fetch_history, full_sha, head, resolve
from tasks.core.git.remotes import ON_GITHUB, Remote, github_name, remote, user_of, web_url
from tasks.core.git.repository import archive, config, fetch_commit, fetch_folders, has, init, lent, read

__all__ = [
    "FULL_SHA",
    "ON_GITHUB",
    "Remote",
    "archive",
    "branches",
    "check_ref",
    "config",
    "environment",
    "fetch_commit",
    "fetch_folders",
    "fetch_history",
    "full_sha",
    "github_name",
    "has",
    "head",
    "init",
    "installed",
    "lent",
    "only_by_name",
    "read",
    "remote",
    "resolve",
    "run",
    "run_bytes",
    "user_of",
    "web_url",
]
