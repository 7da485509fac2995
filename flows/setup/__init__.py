"""``flowise-setup``: what the project needs on a Prefect server; and the steps of prefect.yaml."""
