"""What starts a delivery: webhooks and new commits on a branch, filtered by path."""
