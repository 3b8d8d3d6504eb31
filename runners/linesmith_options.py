"""Define Linesmith's pipeline options. Beam's parser knows them once this module is imported."""

from __future__ import annotations

import argparse

from apache_beam.options.pipeline_options import PipelineOptions


class LinesmithOptions(PipelineOptions):
    """Options that Beam does not have."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--workers",
            type=int,
            default=None,
            help="workers that run at the same time: processes on this machine, or tasks on Flink; also sets memory and threads",
        )
        parser.add_argument(
            "--threads_per_worker",
            type=int,
            default=None,
            help="threads of each worker; by default the cores of the machine are divided among the workers",
        )
        parser.add_argument(
            "--train_on",
            choices=("driver", "worker"),
            default=None,
            help="where training runs: in this process or on a worker; by default on a worker of a Flink cluster, else here",
        )
        parser.add_argument(
            "--train_accelerator",
            default=None,
            help="accelerator of the worker that trains, written as in Beam's resource hints",
        )
        parser.add_argument(  # an option of Flink's job server, to which Beam hands it; Beam's own parser lacks it
            "--checkpointing_interval",
            type=int,
            default=None,
            help="Flink, with --streaming: milliseconds between two checkpoints; without them a job that fails begins again",
        )
        parser.add_argument(
            "--workers_share_files",
            action="store_true",
            default=False,
            help="every worker sees the paths of this machine, even if they do not look like a shared mount",
        )
