"""What is learned from the records of a model that was just trained: its discriminator, or, with `dp`, its usual texts."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from linesmith.core.artifacts.model_info import CHECKPOINTS_DIR, DISCRIMINATOR_FILE, read_model_info, write_model_info
from linesmith.core.artifacts.run_directory import RunDirectory
from linesmith.core.config.tensorflow_config import TensorFlowConfig
from linesmith.pipelines.stage_report import StageReport

if TYPE_CHECKING:
    from linesmith.model.discriminator.discriminator import Discriminator
    from linesmith.model.sampling.sampler import Sampler
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

    def add_to(self, staged_run: RunDirectory, report: StageReport, drafts: float) -> None:
        """Write it beside the model, whose description names it, and say so.

        Args:
            staged_run: where the model is.
            report: counts and notices are added.
            drafts: `gen_drafts`.
        """
        from linesmith.model.discriminator.discriminator import save_discriminator

        (staged_run.model / CHECKPOINTS_DIR / DISCRIMINATOR_FILE).unlink(missing_ok=True)
        report.notices += self.notices
        if self.discriminator is not None:
            digest = save_discriminator(staged_run.model, self.discriminator)
            write_model_info(staged_run.model, replace(read_model_info(staged_run.root), discriminator=digest))
            kept = self.discriminator.kept_share(drafts)
            report.counts["records that the discriminator keeps"] = f"1 of {1 / kept:.1f}"
        if self.private:
            info = replace(read_model_info(staged_run.root), field_patterns=self.patterns)
            write_model_info(staged_run.model, info)
            report.notices += _private_notices(self.patterns, info.top_p)


def learn_from_own_records(
    config: TensorFlowConfig, staged_run: RunDirectory, trainer: TrainingLoop
) -> LearnedFromOwnRecords:
    """Draw records from the model that was just written, and learn from them; nothing is written.

    With `dp` nothing else is read than the model, so nothing is spent. Otherwise its records are compared with real ones; of free
    text, and where there are too few records, nothing is learned.

    Args:
        config: the settings.
        staged_run: where the model is.
        trainer: after `fit`.
    """
    if config.dp:
        from linesmith.model.sampling.usual_fields import usual_field_patterns

        return LearnedFromOwnRecords(patterns=usual_field_patterns(staged_run.root, config.seed), private=True)
    from linesmith.model.discriminator.fitting import LEAST_RECORDS, NoDiscriminatorError, fit_discriminator
    from linesmith.model.sampling.sampler import Sampler, SamplerOptions
    from linesmith.records.fields import FieldFormat

    stores = [trainer.train, *([] if trainer.validation is None else [trainer.validation])]
    records = sum(map(len, stores))
    if trainer.model.layout is None or not config.discriminator or records < LEAST_RECORDS:
        return LearnedFromOwnRecords()
    _log.info("train: drawing records of the model, to learn what tells them from real ones")
    sampler = Sampler(staged_run.root, options=SamplerOptions(config.matmul_precision))
    chars = sum(store.num_chars for store in stores) // records
    drawn = _drawn_texts(sampler, max(LEAST_RECORDS, min(_MOST_RECORDS, _MOST_CHARS // max(chars, 1))), config.seed)
    share = min(1.0, _MOST_RECORDS / records)
    real = [text for store in stores for text in _texts(store, int(len(store) * share), sampler)]
    split = sampler.tokenizer.token_format
    try:
        found = fit_discriminator(real, drawn, FieldFormat(split.field_delimiter, split.quoted), config.seed)
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


def _drawn_texts(sampler: Sampler, count: int, seed: int) -> list[str]:
    """Return records that the model draws, in the order of their numbers, those aside that are none."""
    from linesmith.model.sampling.sample_types import DrawSettings, SampleRequest

    requests = deque(SampleRequest(index, 0) for index in range(count))
    samples = sorted(sampler.stream(requests, DrawSettings(seed ^ _SEED_MASK)), key=lambda one: one.request.index)
    return [one.text for one in samples if one.error is None and one.finish_reason == "newline"]


def _texts(store: TokenStore, count: int, sampler: Sampler) -> list[str]:
    """Return the first records of a store in its order, which is by a hash."""
    return [sampler.tokenizer.decode_from_ids(store.record(rank)[1:-1].tolist()) for rank in range(count)]
