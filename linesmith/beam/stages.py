"""Tokenize and train as steps of any pipeline: each runs on one worker, and gives the run directory when it is complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import apache_beam as beam
from apache_beam.typehints.row_type import RowTypeConstraint

from linesmith.api.saving import place_of
from linesmith.core.config.spelling import python_call
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.core.errors import ParameterError
from linesmith.pipelines.workflow import complete_stage

_MIN_RAM = "4GB"
_ARGUMENTS = {"--output": "output"}


class Tokenize(beam.PTransform):
    """Make training data of a PCollection, or of files → the run directory, once, when they are complete.

    Applied to a PCollection, it writes the elements to files first: lines of text as they are, rows with a schema as Parquet.
    Applied to a pipeline, it reads `input_data_path`. One worker then does what `linesmith tokenize` does. It may be repeated
    after a failure: complete training data of equal settings and input are left as they are.

    Args:
        output: the run directory, a path that all workers share or a bucket address.
        elements: where the elements are written, likewise; default `output` with `-input` behind it. The files are not deleted.
        settings: settings of a run, such as field_delimiter, vocab_size or column_role.

    Raises:
        ParameterError: a setting cannot work.
    """

    def __init__(
        self, output: str | os.PathLike[str], *, elements: str | os.PathLike[str] | None = None, **settings: Any
    ) -> None:
        super().__init__()
        self._output = place_of("output", output)
        self._elements = place_of("elements", f"{self._output}-input" if elements is None else elements)
        self._settings = _checked(self._output, settings)

    def expand(self, given: beam.pvalue.PBegin | beam.PCollection[Any]) -> beam.PCollection[str]:
        """Write the elements, if there are some, and tokenize."""
        if isinstance(given, beam.PCollection):
            if "input_data_path" in self._settings:
                raise ParameterError(
                    "LS101",
                    "input_data_path",
                    "the PCollection is the input",
                    "Leave it out, or apply it to the pipeline.",
                )
            is_row = isinstance(given.element_type, RowTypeConstraint) or hasattr(given.element_type, "_fields")
            prefix = f"{self._elements.rstrip('/')}/part"
            sink = (
                beam.io.WriteToParquet(prefix, file_name_suffix=".parquet")
                if is_row
                else beam.io.WriteToText(prefix, file_name_suffix=".txt")
            )
            start = given | "Write elements" >> sink | "Files" >> beam.combiners.ToList()
        else:
            paths = self._settings.get("input_data_path")
            if paths is None:
                raise ParameterError(
                    "LS101", "input_data_path", "missing", "Give it, or apply Tokenize to a PCollection."
                )
            start = given | "Files" >> beam.Create([paths], reshuffle=False)
        return start | "Tokenize" >> _RunStage("tokenize", self._settings)


class Train(beam.PTransform):
    """Train on the training data of a run directory → the run directory, once, when the model is complete.

    One worker trains, with all of its cores, when the input is complete; what its elements are does not matter. A repetition
    after a failure resumes the training from its last checkpoint, and leaves a complete model as it is.

    Args:
        output: the run directory, as for `Tokenize`.
        accelerator: hint for the runner what the worker should have, such as `type:nvidia-tesla-t4;count:1`.
        settings: settings of the training, such as epochs or dp_target_epsilon.

    Raises:
        ParameterError: a setting cannot work.
    """

    def __init__(self, output: str | os.PathLike[str], *, accelerator: str | None = None, **settings: Any) -> None:
        super().__init__()
        self._settings = _checked(place_of("output", output), settings)
        self._hints = {"min_ram": _MIN_RAM, **({"accelerator": accelerator} if accelerator else {})}

    def expand(self, given: beam.pvalue.PBegin | beam.PCollection[Any]) -> beam.PCollection[str]:
        """Wait for the input, and train."""
        if isinstance(given, beam.PCollection):
            start = given | "Wait" >> beam.combiners.Count.Globally()
        else:
            start = given | "Begin" >> beam.Create([0], reshuffle=False)
        return start | "Train" >> _RunStage("train", self._settings).with_resource_hints(**self._hints)


class _RunStage(beam.PTransform):
    """One element → the run directory, when a stage is complete.

    Args:
        stage: which one.
        settings: of the run.
    """

    def __init__(self, stage: Literal["tokenize", "train"], settings: dict[str, Any]) -> None:
        super().__init__()
        self._stage = stage
        self._settings = settings

    def expand(self, start: beam.PCollection[Any]) -> beam.PCollection[str]:
        """Run the stage once."""
        step = beam.ParDo(_StageFn(self._stage, self._settings)).with_output_types(str)
        # The reshuffle keeps the runner from fusing the step with others, whose workers have no such hints.
        return start | "Alone" >> beam.Reshuffle() | "Run" >> step


class _StageFn(beam.DoFn):
    """DoFn that runs a stage."""

    def __init__(self, stage: Literal["tokenize", "train"], settings: dict[str, Any]) -> None:
        super().__init__()
        self._stage = stage
        self._settings = settings

    def process(self, start: Any) -> Iterator[str]:
        """Run it, and yield the run directory."""
        paths = {"input_data_path": start} if self._stage == "tokenize" else {}
        config = TensorFlowConfig(**{**self._settings, **paths})

        def run() -> None:
            with python_call(_ARGUMENTS):
                complete_stage(self._stage, config)

        # The stage runs pipelines of its own, and Beam keeps the state of the step that runs in its thread.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(run).result()
        yield str(self._settings["checkpoint_dir"])


def _checked(output: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a run, which are plain values: workers make a configuration of them again.

    Raises:
        ParameterError: LS101, a setting is unknown or has a bad value.
    """
    if settings.get("epoch_callback") is not None:
        raise ParameterError(
            "LS101", "epoch_callback", "a function of this process, and a worker trains", "Leave it out."
        )
    with python_call(_ARGUMENTS):
        TensorFlowConfig(**settings, checkpoint_dir=output)
    return {**settings, "checkpoint_dir": output}
