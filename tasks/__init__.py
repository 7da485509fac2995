"""Prefect tasks: one file a task, each a thin cover of options and logging around one call into ``tasks.core``."""
