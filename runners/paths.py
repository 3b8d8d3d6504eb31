"""Whether the workers can see the files that a job names; asked before it is submitted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from model.errors import ParameterError

if TYPE_CHECKING:
    from apache_beam.options.pipeline_options import PipelineOptions

_SHARED_KINDS = re.compile(
    r"^(nfs\d*|cifs|smb\w*|ceph|lustre|glusterfs|gpfs|beegfs|9p|virtiofs|fuse\..+|fuse|afs|ocfs2|gfs2)$"
)


def check_paths(options: PipelineOptions, paths: Mapping[str, str | Path | None]) -> None:
    """Refuse a path on a disk of this machine where the workers run on others. Addresses (`scheme://`) pass.

    tf.Transform's working files and everything else that a stage writes lie below the run directory, so that its path
    answers for theirs.

    Args:
        options: complete options.
        paths: by the option that named each; None is left out.

    Raises:
        ParameterError: a worker would not find what is named, or write where nobody looks.
    """
    from apache_beam.options.pipeline_options import FlinkRunnerOptions, StandardOptions

    from runners.flink import LOCAL_MASTERS
    from runners.flink_rest import is_this_machine
    from runners.own_options import OwnOptions

    if options.view_as(StandardOptions).runner != "FlinkRunner" or options.view_as(OwnOptions).workers_share_files:
        return
    master = options.view_as(FlinkRunnerOptions).flink_master
    if master in LOCAL_MASTERS or is_this_machine(master):
        return
    for option, path in paths.items():
        if path is None or "://" in str(path):
            continue
        if not Path(path).is_absolute():
            raise ParameterError(
                f"LS405: {option} '{path}' is a relative path, which means another place on the workers at --flink_master "
                f"{master}; give it in full."
            )
        if not is_mounted(Path(path)):
            raise ParameterError(
                f"LS405: {option} '{path}' is on a disk of this machine, and the workers at --flink_master {master} run on "
                "others. Give a bucket address or a path on a file system that all of them mount at the same place; if it is "
                "one that does not look like it, add --workers_share_files."
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
