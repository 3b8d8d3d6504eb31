"""Tell whether a path can be on a file system that other machines have mounted, too."""

from __future__ import annotations

import re
from pathlib import Path

_SHARED_TYPES = re.compile(
    r"^(nfs\d*|cifs|smb\w*|ceph|lustre|glusterfs|gpfs|beegfs|9p|virtiofs|fuse\..+|fuse|afs|ocfs2|gfs2)$"
)


def is_mounted(path: Path, mounts: str | None = None) -> bool:
    """Return whether a path lies on a file system of a type that several machines can mount, such as NFS.

    Args:
        path: a path that need not exist.
        mounts: the table of mounts, as in /proc/mounts; None: this machine's.

    Example:
        >>> table = "/dev/sda1 / ext4 rw 0 0" + chr(10) + "host:/export /mnt/all nfs4 rw 0 0"
        >>> is_mounted(Path("/mnt/all/run"), table), is_mounted(Path("/mnt/allother"), table)
        (True, False)
    """
    if mounts is None:
        try:
            mounts = Path("/proc/mounts").read_text("utf-8", "replace")
        except OSError:
            return False
    absolute = path.absolute()
    deepest, file_system = -1, ""  # the mount point that is nearest to the path decides
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        mount_point = Path(fields[1].replace("\\040", " "))  # the kernel writes a space as \040
        if (mount_point == absolute or mount_point in absolute.parents) and len(mount_point.parts) >= deepest:
            deepest, file_system = len(mount_point.parts), fields[2]
    return bool(_SHARED_TYPES.match(file_system))
