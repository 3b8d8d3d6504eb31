"""How many training records lie in which cell, counted with noise: what a private model's discriminator is learned from.

Mechanism. The cells are those of M partitions, each of which puts every record into one cell or, if it has another number of
fields, into none; they are chosen without looking at the records. So a record adds 1 to at most M counts, and a unit of at most
k records moves the vector of counts by at most k * sqrt(M) in L2 norm (the sensitivity). Gaussian noise of standard deviation
z * k * sqrt(M) is added once to every count. What is charged is one Gaussian mechanism of noise multiplier z over the training
side; all that is done with the noised counts is post-processing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linesmith.model.discriminator.features import RecordFeatures
from linesmith.model.discriminator.partitions import Partitions
from linesmith.model.privacy.noise import add_noise
from linesmith.model.privacy.secret_key import SecretKey
from linesmith.records.fields import FieldFormat


@dataclass(frozen=True)
class CellCounter:
    """Counts training records in cells, with noise.

    Attributes:
        records: the texts of the records that take part, in batches; those of a unit at most `records_per_unit`.
        units: N, which is public.
        records_per_unit: k.
        noise_multiplier: z; 0 hides nothing.
        key: key of the noise.
    """

    records: Iterable[Sequence[str]]
    units: int
    records_per_unit: int
    noise_multiplier: float
    key: SecretKey

    def stddev(self, partitions: int) -> float:
        """Return the standard deviation of the noise on each count."""
        return self.noise_multiplier * self.records_per_unit * math.sqrt(partitions)

    def count(self, partitions: Partitions, features: RecordFeatures, fields: FieldFormat) -> npt.NDArray[np.float64]:
        """Count the records in each cell, with noise. To be called once: each call is a release.

        Args:
            partitions: the cells; chosen without looking at the records.
            features: describes the records for the partitions.
            fields: how records are split.

        Returns:
            The noised counts, [cells]; some are below 0.
        """
        counts = np.zeros(partitions.cell_count, np.int64)
        for texts in self.records:
            matrix, described = features.matrix(texts, fields)
            cells = partitions.cells(matrix[described])
            counts += np.bincount(cells.ravel(), minlength=partitions.cell_count)
        return add_noise(counts, self.stddev(len(partitions)), self.key.seed("discriminator"))
