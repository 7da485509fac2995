"""What becomes of a run when something it depends on has a bad day: a table, by ``python -m tests.faults``."""
