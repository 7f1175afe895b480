#!/bin/bash
# The first process of a guest: mounts what must be writable over the read-only root, which is the
# host's own, brings up the network and NFS, and becomes the agent that takes commands from the host.
# The kernel hands on what it doesn't know of its command line as environment (RIG_…, see guest.py).
set -eu
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/run/home TMPDIR=/run/tmp
here=$(dirname "${BASH_SOURCE[0]}")

mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmpfs /run
mkdir -p /dev/pts /dev/shm /run/{home,tmp,lock,rpcbind,rpc_pipefs,share,modules/lib,nfs,small}
mount -t tmpfs tmpfs /dev/shm
mount -t hostfs none /run/share -o "$RIG_SHARE"

# The modules stand where Debian puts those of this kernel, which isn't where modprobe looks.
ln -s /usr/lib/uml/modules /run/modules/lib/modules
printf '#!/bin/sh\nexec modprobe -d /run/modules "$@"\n' >/run/modprobe
chmod +x /run/modprobe
echo /run/modprobe >/proc/sys/kernel/modprobe

hostname "$RIG_NAME"
printf '127.0.0.1 localhost\n10.0.0.1 server\n10.0.0.2 c1\n10.0.0.3 c2\n' >/run/hosts
mount --bind /run/hosts /etc/hosts
ip link set lo up
ip link set vec0 up
ip addr add "$RIG_ADDRESS/24" dev vec0

if [ "$RIG_NAME" = server ]; then
    # What the server knows of its clients' locks has to be there when it boots again.
    mkdir -p /run/disk /run/exports
    mount -t ext4 /dev/ubda /run/disk
    mkdir -p /run/disk/{exported,state}
    if [ ! -d /run/disk/state/sm ]; then
        cp -a /var/lib/nfs/. /run/disk/state
        mkdir -p /run/disk/state/{sm,sm.bak,v4recovery,nfsdcld}
        chown --reference=/var/lib/nfs /run/disk/state /run/disk/state/{sm,sm.bak}
    fi
    mount --bind /run/disk/state /var/lib/nfs
    # The root of NFS 4's names has to be a file system that can be exported: hostfs can't be.
    mount -t tmpfs tmpfs /run/exports
    mkdir -p /run/exports/{disk,small}
    mount --bind /run/disk/exported /run/exports/disk
    mount -t ext4 /dev/ubdb /run/exports/small
    chmod 1777 /run/exports/{disk,small}
    /run/modprobe nfsd
    mount -t nfsd nfsd /proc/fs/nfsd
    mount -t rpc_pipefs rpc /run/rpc_pipefs
    rpcbind -w
    nfsdcld
    bash "$here/nfsd.sh" start
else
    cp -a /var/lib/nfs /run/state
    mount --bind /run/state /var/lib/nfs
    mkdir -p /var/lib/nfs/{sm,sm.bak}
    mount -t rpc_pipefs rpc /run/rpc_pipefs
    rpcbind -w
    rpc.statd --no-notify
    # What was written and not synced stays unwritten, however long a test holds a process there.
    echo 360000 >/proc/sys/vm/dirty_expire_centisecs
fi
cd "$RIG_CHECKOUT"
export PYTHONPATH=$RIG_CHECKOUT PYTHONDONTWRITEBYTECODE=1 PATH=${RIG_PYTHON%/*}:$PATH
exec "$RIG_PYTHON" -m tests.rigs.nfs.agent /run/share
