"""From an update to a commit in the GitOps repository, and what that history tells."""
