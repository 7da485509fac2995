"""``flowise-setup``: what the project needs on a Prefect server."""
