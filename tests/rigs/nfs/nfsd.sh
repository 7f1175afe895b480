#!/bin/bash
# nfsd.sh start|stop|restart|readonly|writable: the server's part of NFS, in its guest.
set -eu
seconds=10 # after which a silent client loses its locks; the kernel takes no less

export_as() { # rw|ro
    local options=$1,sync,no_root_squash,no_subtree_check
    exportfs -o "$options,fsid=0" 10.0.0.0/24:/run/exports
    exportfs -o "$options,fsid=1" 10.0.0.0/24:/run/exports/disk
    exportfs -o "$options,fsid=2" 10.0.0.0/24:/run/exports/small
    exportfs -f
}

start() {
    echo $seconds >/proc/fs/nfsd/nfsv4leasetime
    echo $seconds >/proc/fs/nfsd/nfsv4gracetime
    echo $seconds >/proc/sys/fs/nfs/nlm_grace_period
    export_as rw
    pgrep -x rpc.statd >/dev/null || rpc.statd
    pgrep -x rpc.mountd >/dev/null || rpc.mountd
    rpc.nfsd 8
}

case $1 in
start) start ;;
stop) rpc.nfsd 0 ;;
restart) rpc.nfsd 0 && start ;;
readonly) export_as ro ;;
writable) export_as rw ;;
esac
