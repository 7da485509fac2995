"""The work itself, in plain Python: importable and testable without Prefect."""
