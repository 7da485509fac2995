"""From a commit to an image in a registry."""
