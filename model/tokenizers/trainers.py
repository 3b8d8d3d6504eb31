"""Which tokenizer to train, as small objects for the Python API: `train(config, tokenizer_trainer=…)`."""

from __future__ import annotations

from typing import Any, Literal

from linesmith.core.config.tensorflow_config import TensorFlowConfig


class TokenizerTrainer:
    """Overrides a configuration's tokenizer settings. Unset arguments leave the configuration's value as it is.

    Args:
        config: a configuration whose tokenizer settings are taken where no argument is given.
    """

    def __init__(self, config: TensorFlowConfig | None, settings: dict[str, Any]) -> None:
        self.config = config
        self._settings = settings

    def apply(self, config: TensorFlowConfig) -> TensorFlowConfig:
        """A copy of `config` with this trainer's settings.

        Raises:
            ParameterError: a setting is out of range.
        """
        own = {} if self.config is None else {name: getattr(self.config, name) for name in self._settings}
        given = {name: value for name, value in self._settings.items() if value is not None}
        return config.replace(**{**own, **given, **self._kind(config)})

    def _kind(self, config: TensorFlowConfig) -> dict[str, Any]:
        return {}


class CharTokenizerTrainer(TokenizerTrainer):
    """Characters: one token a code point.

    Example:
        >>> CharTokenizerTrainer(max_line_len=100).apply(TensorFlowConfig()).vocab_size
        0
    """

    def __init__(self, *, config: TensorFlowConfig | None = None, max_line_len: int | None = None) -> None:
        super().__init__(config, {"max_line_len": max_line_len})

    def _kind(self, config: TensorFlowConfig) -> dict[str, Any]:
        return {"vocab_size": 0}


class SentencePieceTokenizerTrainer(TokenizerTrainer):
    """SentencePiece sub-words, learnt from the words of the whole input.

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

    def _kind(self, config: TensorFlowConfig) -> dict[str, Any]:
        own = self._settings["vocab_size"] or (self.config.vocab_size if self.config is not None else None)
        chosen = config.vocab_size if own is None else own
        # Sub-words were asked for by name; a configuration that says characters gives the default size.
        return {"vocab_size": chosen or TensorFlowConfig.model_fields["vocab_size"].default}
