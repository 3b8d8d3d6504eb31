"""What the JSON files of a run directory must hold, where it is used: whoever gave the directory may have written anything.

A shape names only the entries that are used; others are kept as they are.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_Count = Annotated[int, Field(ge=0, le=1 << 62)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Settings = dict[str, Any]


class Shape(BaseModel):
    """Base of the shapes: no value is converted."""

    model_config: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="ignore")


class _RecordCounts(Shape):
    attempts: _Count | None = None
    valid_rate: _Number | None = None
    invalid_by_reason: dict[str, _Count] = {}


class ManifestShape(Shape):
    """Manifest of any stage."""

    complete: bool = True
    private: bool = False
    columns: list[str] | None = None
    settings: _Settings = {}
    inputs: _Settings = {}
    outputs: _Settings = {}
    model: _Settings = {}


class RecordsManifest(ManifestShape):
    """Manifest of generated records."""

    counts: _RecordCounts = _RecordCounts()


class _SplitCounts(Shape):
    records: _Count
    tokens: _Count


def _with_train(splits: dict[str, _SplitCounts]) -> dict[str, _SplitCounts]:
    if "train" not in splits:
        raise ValueError("no training split")
    return splits


class _TrainingCounts(Shape):
    splits: Annotated[dict[str, _SplitCounts], AfterValidator(_with_train)]
    vocab_size: _Count


class CountedManifest(ManifestShape):
    """Manifest of training data whose records are counted."""

    counts: _TrainingCounts


class TrainingManifest(CountedManifest):
    """Manifest of training data that are trained on."""

    tokenizer_digest: str
    data_digest: str


class _LengthStatistics(Shape):
    histogram: list[Annotated[list[_Number], Field(min_length=2, max_length=2)]] = []


class Statistics(Shape):
    """Statistics of the training data."""

    length_tokens: _LengthStatistics = _LengthStatistics()


class Identity(Shape):
    """Identity of a training or of another release."""

    run: str


class LeaseShape(Shape):
    """A lease."""

    number: _Count
    owner: str
    host: str
    pid: Annotated[int, Field(ge=1, le=(1 << 31) - 1)]
    renewed: _Count = 0


class Claim(Shape):
    """What a privacy statement claims."""

    epsilon: _Number | str
    delta: _Number
    unit: str
    adjacency: str
    meaning: str | None = None


class _Bound(Shape):
    epsilon: float
    guesses: _Count
    right: _Count
    statistic: str


class _Membership(Shape):
    auc: float | None
    hits: float | None
    hits_low: float | None
    hits_high: float | None


class _Exposure(Shape):
    mean: float
    largest: float


class _Attack(Shape):
    name: str
    membership: _Membership
    exposure: _Exposure


class _TextAudit(Shape):
    canaries: _Count
    records: _Count
    bound: _Bound
    attacks: Annotated[list[_Attack], Field(min_length=1)]


class _GradientAudit(Shape):
    epsilon: float
    canaries: _Count
    steps: _Count
    bound: _Bound
    draws: list[str]
    refuted: bool


class _NeighborAudit(Shape):
    clip: float
    moved: float
    released_moved: float
    released_allowed: float
    refuted: bool


class _AuditedClaim(Shape):
    epsilon: float | Annotated[str, AfterValidator(float)]


class Audit(Shape):
    """An audit, as the report shows it."""

    claim: _AuditedClaim | None
    text: _TextAudit
    gradients: _GradientAudit | None
    neighbours: _NeighborAudit | None
    refuted: bool
    verdict: str
