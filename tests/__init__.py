"""The tests of orion-hpc; they mirror the package."""
