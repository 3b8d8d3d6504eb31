"""What private training learns from the model's own records: usual texts, and a discriminator from counts with noise.

The counts are drawn once: they are kept, as the discriminator made of them, in the state that only an unfinished training needs,
so that a command that was killed does not count again when it is resumed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from linesmith.core.artifacts.model_info import ModelInfo, read_model_info
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.pipelines.train.own_records import (
    LearnedFromOwnRecords,
    asked_fields,
    drawn_texts,
    field_format,
    texts_of,
)
from linesmith.pipelines.train.private import resume_directory

if TYPE_CHECKING:
    from linesmith.model.discriminator.discriminator import Discriminator
    from linesmith.model.privacy.trainer import PrivateTrainer
    from linesmith.model.tokenizers.base import Tokenizer

_log = logging.getLogger("linesmith")
_RECORDS = 40_000  # of the model; many, since they have to fill all cells
_FIRST_RECORDS = 2_000  # by which their length is known
_MOST_CHARS = 3_000_000  # that the model writes, but for records that are very long
_BATCH = 10_000  # real records that are described at once


def learn_privately(
    config: TensorFlowConfig, staged_run: RunDirectory, trainer: PrivateTrainer
) -> LearnedFromOwnRecords:
    """Learn usual texts, which reads nothing but the model, and the discriminator that the plan charges for.

    Args:
        config: the settings, with `dp`.
        staged_run: where the model is.
        trainer: after `fit`.
    """
    from linesmith.model.discriminator.fitting import NoDiscriminatorError
    from linesmith.model.sampling.usual_fields import usual_field_patterns

    patterns = usual_field_patterns(staged_run.root, config.seed)
    learned = LearnedFromOwnRecords(patterns=patterns, private=True)
    if trainer.plan.discriminator_noise is None:
        return learned
    info = replace(read_model_info(staged_run.root), field_patterns=patterns)
    try:
        return replace(learned, discriminator=_discriminator(config, staged_run, trainer, info))
    except NoDiscriminatorError as error:
        return replace(learned, notices=(f"no discriminator was learned, although it is charged: {error}",))


def _discriminator(
    config: TensorFlowConfig, staged_run: RunDirectory, trainer: PrivateTrainer, info: ModelInfo
) -> Discriminator:
    """Return the discriminator that was made before, or count records and make it.

    Raises:
        NoDiscriminatorError: the model's records do not allow one.
    """
    from linesmith.model.discriminator.discriminator import read_discriminator, save_discriminator
    from linesmith.model.discriminator.private_fitting import fit_private_discriminator
    from linesmith.model.privacy.cell_counts import CellCounter
    from linesmith.model.sampling.sample_types import DrawSettings
    from linesmith.model.sampling.sampler import Sampler, SamplerOptions

    # Named after the weights, as counts say something of one model's records only.
    kept = resume_directory(staged_run) / f"discriminator-{info.weights_digest[:32]}.npz"
    if kept.is_file():
        return read_discriminator(kept)
    _log.info("train: drawing records of the model, to learn what tells them from real ones")
    # Drawn as generation draws by default, whose records the discriminator chooses among.
    sampler = Sampler(staged_run.root, options=SamplerOptions(config.matmul_precision), info=info)
    settings = DrawSettings(config.seed, top_p=1.0 if info.top_p is None else info.top_p)
    first = drawn_texts(sampler, _FIRST_RECORDS, settings)
    chars = sum(map(len, first)) // max(len(first), 1)
    drawn = drawn_texts(sampler, max(_FIRST_RECORDS, min(_RECORDS, _MOST_CHARS // max(chars, 1))), settings)
    plan = trainer.plan
    counter = CellCounter(
        _record_batches(trainer, sampler.tokenizer),
        plan.units,
        plan.records_per_unit,
        0.0 if plan.discriminator_noise is None else plan.discriminator_noise,
        trainer.key,
    )
    found = fit_private_discriminator(drawn, field_format(sampler.tokenizer), counter, asked_fields(info))
    save_discriminator(kept, found)
    return found


def _record_batches(trainer: PrivateTrainer, tokenizer: Tokenizer) -> Iterator[list[str]]:
    """Yield the texts of the training records that take part, in batches."""
    store, users = trainer.train, trainer.users
    ranks = range(len(store)) if users is None else users.ranks.tolist()
    for start in range(0, len(ranks), _BATCH):
        yield texts_of(store, ranks[start : start + _BATCH], tokenizer)
