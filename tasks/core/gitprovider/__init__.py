"""Hosting services of repositories: pull requests, statuses and dispatch. GitHub today."""
