"""The space that names and versions take, and what giving one up would free."""
