"""What each command does; how it is called and shown is left to :mod:`orion_hpc.cli`."""
