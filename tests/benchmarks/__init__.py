"""Benchmarks: ``python -m tests.benchmarks.storage`` measures ours and its peers side by side."""
