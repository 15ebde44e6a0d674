"""Data that stays where it is: registering it, its evidence, reading it, recording that it moved."""
