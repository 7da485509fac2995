"""The machine: child processes, temporary folders, addresses, HTTP with one deadline over everything."""
