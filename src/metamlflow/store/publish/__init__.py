"""Publish: the only way to create a version; also versions derived from the newest one."""
