"""Hyperparameter search on Slurm with nothing but a shared file system."""

from orion_hpc.errors import TrialInterrupted

__all__ = ["TrialInterrupted", "__version__"]

__version__ = "0.1.0"
