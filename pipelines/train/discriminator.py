"""The discriminator of a model that was just trained: what tells its records from those that it learned."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from linesmith.core.artifacts.model_info import CHECKPOINTS_DIR, DISCRIMINATOR_FILE, read_model_info, write_model_info
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.pipelines.stage_report import StageReport

if TYPE_CHECKING:
    from linesmith.model.sampling.sampler import Sampler
    from linesmith.model.training.loop import TrainingLoop
    from linesmith.model.training.token_store import TokenStore

_MOST_RECORDS = 20_000  # real ones, and as many of the model
_MOST_CHARS = 3_000_000  # that the model writes, but for records that are very long
_SEED_MASK = 0x64697363726D  # the model's records here must not be those that a generation with the same seed draws


def learn_discriminator(
    config: TensorFlowConfig, staged_run: RunDirectory, trainer: TrainingLoop, report: StageReport
) -> None:
    """Learn to tell records of the model that was just written from real ones, and describe the model anew with it.

    Nothing is learned of free text, and where there are too few records.

    Args:
        config: the settings.
        staged_run: where the model is.
        trainer: after `fit`.
        report: says what came of it.
    """
    from linesmith.model.discriminator.discriminator import save_discriminator
    from linesmith.model.discriminator.fitting import LEAST_RECORDS, NoDiscriminatorError, fit_discriminator
    from linesmith.model.sampling.sampler import Sampler, SamplerOptions
    from linesmith.records.fields import FieldFormat

    (staged_run.model / CHECKPOINTS_DIR / DISCRIMINATOR_FILE).unlink(missing_ok=True)
    stores = [trainer.train, *([] if trainer.validation is None else [trainer.validation])]
    records = sum(map(len, stores))
    if trainer.model.layout is None or not config.discriminator or records < LEAST_RECORDS:
        return
    sampler = Sampler(staged_run.root, options=SamplerOptions(config.matmul_precision))
    chars = sum(store.num_chars for store in stores) // records
    drawn = _drawn_texts(sampler, max(LEAST_RECORDS, min(_MOST_RECORDS, _MOST_CHARS // max(chars, 1))), config.seed)
    share = min(1.0, _MOST_RECORDS / records)
    real = [text for store in stores for text in _texts(store, int(len(store) * share), sampler)]
    split = sampler.tokenizer.token_format
    try:
        found = fit_discriminator(real, drawn, FieldFormat(split.field_delimiter, split.quoted), config.seed)
    except NoDiscriminatorError as error:
        report.notices.append(f"no discriminator was learned: {error}")
        return
    digest = save_discriminator(staged_run.model, found)
    write_model_info(staged_run.model, replace(read_model_info(staged_run.root), discriminator=digest))
    report.counts["records that the discriminator keeps"] = f"1 of {1 / found.kept_share(config.gen_drafts):.1f}"


def _drawn_texts(sampler: Sampler, count: int, seed: int) -> list[str]:
    """Return records that the model draws, in the order of their numbers, those aside that are none."""
    from linesmith.model.sampling.sample_types import DrawSettings, SampleRequest

    requests = deque(SampleRequest(index, 0) for index in range(count))
    samples = sorted(sampler.stream(requests, DrawSettings(seed ^ _SEED_MASK)), key=lambda one: one.request.index)
    return [one.text for one in samples if one.error is None and one.finish_reason == "newline"]


def _texts(store: TokenStore, count: int, sampler: Sampler) -> list[str]:
    """Return the first records of a store in its order, which is by a hash."""
    return [sampler.tokenizer.decode_from_ids(store.record(rank)[1:-1].tolist()) for rank in range(count)]
