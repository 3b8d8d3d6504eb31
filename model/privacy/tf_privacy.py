"""Import of tensorflow-privacy, in this one place.

The package's top level imports `tf.estimator`, which TensorFlow no longer has. It has its own switch for that: with
`sys.skip_tf_privacy_import` set, the package loads empty and its submodules import as usual.
"""

from __future__ import annotations

import sys

sys.skip_tf_privacy_import = True  # type: ignore[attr-defined]

from tensorflow_privacy.privacy.dp_query.gaussian_query import GaussianSumQuery  # noqa: E402

__all__ = ["GaussianSumQuery"]
