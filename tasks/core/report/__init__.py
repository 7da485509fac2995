"""What people read: Markdown pages and links."""
