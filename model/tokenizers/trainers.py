"""Objects of the Python API that say which tokenizer to train: `train(config, tokenizer_trainer=…)`."""

from __future__ import annotations

from typing import Any, Literal

from linesmith.core.config.setting_field import default_of
from linesmith.core.config.tensorflow_config import TensorFlowConfig


class TokenizerTrainer:
    """Base class: overrides a configuration's tokenizer settings. Unset arguments leave the configuration's value as it is.

    Args:
        config: a configuration whose tokenizer settings are used for arguments that are None; may be None.
        settings: values by the name of a setting; None leaves the setting as it is.
    """

    def __init__(self, config: TensorFlowConfig | None, settings: dict[str, Any]) -> None:
        self.config = config
        self._settings = settings

    def apply(self, config: TensorFlowConfig) -> TensorFlowConfig:
        """Return a copy of `config` with this trainer's settings.

        Args:
            config: the configuration of the run.

        Returns:
            A checked configuration.

        Raises:
            ParameterError: a setting is out of range.
        """
        own = {} if self.config is None else {name: getattr(self.config, name) for name in self._settings}
        explicit = {name: value for name, value in self._settings.items() if value is not None}
        return config.replace(**{**own, **explicit, **self._vocab_size(config)})

    def _vocab_size(self, config: TensorFlowConfig) -> dict[str, Any]:
        """Return the setting `vocab_size` that selects this kind of tokenizer."""
        return {}


class CharTokenizerTrainer(TokenizerTrainer):
    """Characters: one token per code point.

    Args:
        config: a configuration whose tokenizer settings are used for arguments that are None.
        max_line_len: longest line, in characters; longer lines are rejected.

    Example:
        >>> CharTokenizerTrainer(max_line_len=100).apply(TensorFlowConfig()).vocab_size
        0
    """

    def __init__(self, *, config: TensorFlowConfig | None = None, max_line_len: int | None = None) -> None:
        super().__init__(config, {"max_line_len": max_line_len})

    def _vocab_size(self, config: TensorFlowConfig) -> dict[str, Any]:
        return {"vocab_size": 0}


class SentencePieceTokenizerTrainer(TokenizerTrainer):
    """SentencePiece subwords, learned from the words of the whole input.

    Args:
        config: a configuration whose tokenizer settings are used for arguments that are None.
        vocab_size: number of ids, reserved ones included; 0 gives the default size.
        character_coverage: share of the characters, by count, that become pieces; the rest is encoded as bytes.
        pretrain_sentence_count: most distinct words for the trainer; beyond that, lines are sampled.
        max_line_len: longest line, in characters; longer lines are rejected.
        sentencepiece_type: the algorithm, `bpe` or `unigram`.

    Example:
        >>> SentencePieceTokenizerTrainer(vocab_size=4000).apply(TensorFlowConfig(vocab_size=0)).vocab_size
        4000
    """

    def __init__(
        self,
        *,
        config: TensorFlowConfig | None = None,
        vocab_size: int | None = None,
        character_coverage: float | None = None,
        pretrain_sentence_count: int | None = None,
        max_line_len: int | None = None,
        sentencepiece_type: Literal["bpe", "unigram"] | None = None,
    ) -> None:
        super().__init__(
            config,
            {
                "vocab_size": vocab_size,
                "character_coverage": character_coverage,
                "pretrain_sentence_count": pretrain_sentence_count,
                "max_line_len": max_line_len,
                "sentencepiece_type": sentencepiece_type,
            },
        )

    def _vocab_size(self, config: TensorFlowConfig) -> dict[str, Any]:
        own = self._settings["vocab_size"] or (self.config.vocab_size if self.config is not None else None)
        chosen = config.vocab_size if own is None else own
        # The class asks for subwords; a configuration that asks for characters (0) gets the default size.
        return {"vocab_size": chosen or default_of(TensorFlowConfig.model_fields["vocab_size"])}
