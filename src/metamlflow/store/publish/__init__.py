"""The one way in which a version comes into being, and versions derived from the newest."""
