"""The board: read-only pages about what was deployed where, made on the server from templates."""
