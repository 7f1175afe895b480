"""Hyperparameter search on Slurm with nothing but a shared file system."""

__version__ = "0.1.0"
