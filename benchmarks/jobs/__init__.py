"""The parts of ``benchmarks/whole_jobs.py``."""
