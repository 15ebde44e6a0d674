"""Python objects as files, and back: one serializer for each format, built in or from a plug-in."""
