"""Data that stays where it is: register it, collect evidence, read it, and record that it moved."""
