"""What all tasks share: retries, concurrency, cancellation, progress, who started a run."""
