"""Surroundings that tests need: a real Slurm cluster and a fake one."""
