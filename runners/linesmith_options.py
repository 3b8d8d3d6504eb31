"""Pipeline options of ours, beside Beam's. Importing this makes Beam's parser know them."""

from __future__ import annotations

import argparse

from apache_beam.options.pipeline_options import PipelineOptions


class LinesmithOptions(PipelineOptions):
    """What Beam has no single option for."""

    @classmethod
    def _add_argparse_args(cls, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--workers",
            type=int,
            default=None,
            help="workers side by side: processes on this machine, or tasks on Flink; sets memory and threads to go with it",
        )
        parser.add_argument(
            "--threads_per_worker",
            type=int,
            default=None,
            help="threads of TensorFlow in each worker; by default the machine's cores are shared out",
        )
        parser.add_argument(
            "--train_on",
            choices=("driver", "worker"),
            default=None,
            help="where training runs: in this process, or on a worker; by default on a worker of a Flink cluster",
        )
        parser.add_argument(
            "--train_accelerator",
            default=None,
            help="accelerator for the worker that trains, in the words of Beam's resource hints",
        )
        parser.add_argument(
            "--workers_share_files",
            action="store_true",
            default=False,
            help="every worker sees the paths of this machine, although they do not look mounted",
        )
