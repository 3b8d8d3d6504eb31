"""What is learned from the records of a model that was just trained: its discriminator, without `dp`."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from linesmith.core.artifacts.model_info import (
    CHECKPOINTS_DIR,
    DISCRIMINATOR_FILE,
    ModelInfo,
    read_model_info,
    write_model_info,
)
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.pipelines.stage_report import StageReport
from linesmith.records.fields import FieldFormat

if TYPE_CHECKING:
    from linesmith.model.discriminator.discriminator import Discriminator
    from linesmith.model.sampling.sample_types import DrawSettings
    from linesmith.model.sampling.sampler import Sampler
    from linesmith.model.tokenizers.base import Tokenizer
    from linesmith.model.training.loop import TrainingLoop
    from linesmith.model.training.token_store import TokenStore

_log = logging.getLogger("linesmith")
_MOST_RECORDS = 20_000  # real ones, and as many of the model
_MOST_CHARS = 3_000_000  # that the model writes, but for records that are very long
_SEED_MASK = 0x64697363726D  # the model's records here must not be those that a generation with the same seed draws


@dataclass(frozen=True)
class LearnedFromOwnRecords:
    """What was learned from the records of a model.

    Attributes:
        discriminator: tells them from real ones; None: there is none.
        patterns: of the usual texts of each field, after private training; None: nothing was learned.
        notices: sentences that the user should read.
        private: training was private.
    """

    discriminator: Discriminator | None = None
    patterns: list[str | None] | None = None
    notices: tuple[str, ...] = ()
    private: bool = False

    def save(self, staged_run: RunDirectory) -> str | None:
        """Write the discriminator beside the model; return the digest of its file, None where there is none.

        Args:
            staged_run: where the model is.
        """
        from linesmith.model.discriminator.discriminator import save_discriminator

        path = staged_run.model / CHECKPOINTS_DIR / DISCRIMINATOR_FILE
        path.unlink(missing_ok=True)
        return None if self.discriminator is None else save_discriminator(path, self.discriminator)

    def add_to(self, staged_run: RunDirectory, report: StageReport, drafts: float, digest: str | None) -> None:
        """Enter it in the model's description, and say so.

        Args:
            staged_run: where the model is.
            report: counts and notices are added.
            drafts: `gen_drafts`.
            digest: as `save` returned it.
        """
        report.notices += self.notices
        info = replace(read_model_info(staged_run.root), discriminator=digest)
        if self.private:
            info = replace(info, field_patterns=self.patterns)
            report.notices += _private_notices(self.patterns, info.top_p)
        write_model_info(staged_run.model, info)
        if self.discriminator is not None:
            kept = self.discriminator.kept_share(drafts)
            report.counts["records that the discriminator keeps"] = f"1 of {1 / kept:.1f}"


def learn_from_own_records(
    config: TensorFlowConfig, staged_run: RunDirectory, trainer: TrainingLoop
) -> LearnedFromOwnRecords:
    """Draw records from the model that was just written, and learn from them; nothing is written.

    Its records are compared with real ones; of free text, and where there are too few records, nothing is learned. Private
    training has `linesmith.pipelines.train.private_records` instead.

    Args:
        config: the settings, without `dp`.
        staged_run: where the model is.
        trainer: after `fit`.
    """
    from linesmith.model.discriminator.fitting import LEAST_RECORDS, NoDiscriminatorError, fit_discriminator
    from linesmith.model.sampling.sample_types import DrawSettings
    from linesmith.model.sampling.sampler import Sampler, SamplerOptions

    stores = [trainer.train, *([] if trainer.validation is None else [trainer.validation])]
    records = sum(map(len, stores))
    if trainer.model.layout is None or not config.discriminator or records < LEAST_RECORDS:
        return LearnedFromOwnRecords()
    _log.info("train: drawing records of the model, to learn what tells them from real ones")
    sampler = Sampler(staged_run.root, options=SamplerOptions(config.matmul_precision))
    chars = sum(store.num_chars for store in stores) // records
    most = max(LEAST_RECORDS, min(_MOST_RECORDS, _MOST_CHARS // max(chars, 1)))
    drawn = drawn_texts(sampler, most, DrawSettings(config.seed))
    share = min(1.0, _MOST_RECORDS / records)
    # The first ones in the order of a store, which is by a hash.
    chosen = [(store, range(int(len(store) * share))) for store in stores]
    real = [text for store, ranks in chosen for text in texts_of(store, ranks, sampler.tokenizer)]
    try:
        found = fit_discriminator(real, drawn, field_format(sampler.tokenizer), config.seed, asked_fields(sampler.info))
    except NoDiscriminatorError as error:
        return LearnedFromOwnRecords(notices=(f"no discriminator was learned: {error}",))
    return LearnedFromOwnRecords(found)


def _private_notices(patterns: list[str | None] | None, top_p: float | None) -> list[str]:
    restricted = sum(pattern is not None for pattern in patterns or ())
    usual = (
        f"in {restricted} of {len(patterns or ())} fields, generation leaves out texts that are rare in the model's own records: "
        "most of them come from the noise. To keep them, generate with --no-field-aware"
    )
    likely = (
        f"generation draws from the likeliest {top_p:.0%} of each token's probability, since the noise adds to the rest; "
        "--gen-top-p 1 draws from all of it"
    )
    return [*([usual] if restricted else []), likely]


def drawn_texts(sampler: Sampler, count: int, settings: DrawSettings) -> list[str]:
    """Return records that the model draws, in the order of their numbers, those aside that are none.

    Args:
        sampler: draws.
        count: number of attempts.
        settings: how tokens are drawn; the seed is that of a generation, which will not draw the same records.
    """
    from linesmith.model.sampling.sample_types import SampleRequest

    requests = deque(SampleRequest(index, 0) for index in range(count))
    own = replace(settings, seed=settings.seed ^ _SEED_MASK)
    samples = sorted(sampler.stream(requests, own), key=lambda one: one.request.index)
    return [one.text for one in samples if one.error is None and one.finish_reason == "newline"]


def texts_of(store: TokenStore, ranks: Iterable[int], tokenizer: Tokenizer) -> list[str]:
    """Return the texts of records of a store.

    Args:
        store: the records.
        ranks: numbers of records in the store.
        tokenizer: of the store.
    """
    return [tokenizer.decode_from_ids(store.record(rank)[1:-1].tolist()) for rank in ranks]


def asked_fields(info: ModelInfo) -> list[int]:
    """Return the fields that records of a model may be asked for, by their places in the text."""
    columns = info.columns or []
    return [columns.index(name) for name in info.condition_on or [] if name in columns]


def field_format(tokenizer: Tokenizer) -> FieldFormat:
    """Return how the records of a tokenizer are split."""
    split = tokenizer.token_format
    return FieldFormat(split.field_delimiter, split.quoted)
