"""Whether a path can be one that other machines see, too."""

from __future__ import annotations

import re
from pathlib import Path

_SHARED_KINDS = re.compile(
    r"^(nfs\d*|cifs|smb\w*|ceph|lustre|glusterfs|gpfs|beegfs|9p|virtiofs|fuse\..+|fuse|afs|ocfs2|gfs2)$"
)


def is_mounted(path: Path, mounts: str | None = None) -> bool:
    """Whether a path lies on a file system that other machines can have mounted too.

    Args:
        path: need not exist.
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
    whole = path.absolute()
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split()
        if len(fields) < 3:
            continue
        place = Path(fields[1].replace("\\040", " "))
        if (place == whole or place in whole.parents) and len(place.parts) >= best:
            best, kind = len(place.parts), fields[2]
    return bool(_SHARED_KINDS.match(kind))
