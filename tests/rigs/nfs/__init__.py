"""A file server and two hosts that mount it by NFS, each with a kernel of its own.

Debian's `user-mode-linux` gives the kernels, the machine's own file system is their root. `rig` is
the door; `guest` boots one machine and runs commands in it (`init.sh` and `agent` are the other
side), `switch` is the network between them. `workers` run in the guests, `inside` is the one file
here that knows the product's insides, and `audit` tells whether what workers were told is so.
"""
