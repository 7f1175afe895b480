"""``python -m orion_hpc`` is the command ``orion-hpc``."""

from orion_hpc.cli.main import main

if __name__ == "__main__":
    main()
