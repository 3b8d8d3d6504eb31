"""Block sizes of the sampler: only those with which a row has the same bits as in the largest are used."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import deque

import numpy as np
import pytest

from linesmith.core.errors import ParameterError
from linesmith.model.sampling import proven_rows
from linesmith.model.sampling.block import BLOCK_SIZES
from linesmith.model.sampling.network import SamplingNetwork
from linesmith.model.sampling.proven_rows import proven_block_sizes
from linesmith.model.sampling.sampler import DrawSettings, Sampler, SampleRequest, SamplerOptions
from tests.helpers.tiny_model import tiny_run

pytestmark = pytest.mark.integration

SMALL_SIZES = (48, 96, 240)
UNSAFE = (8, 32, 56, 128, 152)  # 24 n + 8


def network_of(units: int, precision: str) -> SamplingNetwork:
    random = np.random.default_rng(0)
    shapes = {
        "embedding/embeddings": (30, 16),
        "lstm_0/kernel": (16, 4 * units),
        "lstm_0/recurrent_kernel": (units, 4 * units),
        "lstm_0/bias": (4 * units,),
        "lstm_1/kernel": (units, 4 * units),
        "lstm_1/recurrent_kernel": (units, 4 * units),
        "lstm_1/bias": (4 * units,),
        "logits/kernel": (units, 30),
        "logits/bias": (30,),
    }
    weights = {f"m/{path}": random.normal(size=shape).astype(np.float32) for path, shape in shapes.items()}
    return SamplingNetwork(weights, 2, [], precision)


@pytest.fixture
def signatures(monkeypatch) -> dict[int, bytes]:
    """Signatures by number of rows, in the place of what this machine computes."""
    given: dict[int, bytes] = {}
    monkeypatch.setattr(proven_rows, "_signature", lambda network, rows: given.get(rows))
    monkeypatch.setattr(proven_rows, "_proven", {})
    monkeypatch.setattr("tensorflow.config.threading.get_intra_op_parallelism_threads", lambda: 4)
    return given


def test_sizes_that_differ_from_the_largest_are_not_used(signatures):
    signatures.update({48: b"shared", 96: b"a", 480: b"a", 2064: b"a"})  # at 240, rows differ among themselves
    assert proven_block_sizes(network_of(16, "float32"), (48, 96, 240, 480)) == (96, 480)


def test_where_no_smaller_size_can_be_used_the_largest_is(signatures):
    signatures.update({48: b"shared", 96: b"other", 2064: b"a"})
    assert proven_block_sizes(network_of(16, "float32"), (48, 96)) == (2064,)


def test_where_no_size_can_be_used_sampling_is_refused(signatures):
    with pytest.raises(ParameterError, match="TF_NUM_INTRAOP_THREADS") as caught:
        proven_block_sizes(network_of(16, "float32"), (48, 96))
    assert caught.value.code == "LS130"


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_a_row_has_the_same_products_in_every_proven_size(precision):
    network = network_of(128, precision)
    sizes = proven_block_sizes(network, SMALL_SIZES)
    state = np.random.default_rng(1).uniform(-1, 1, (1, 256)).astype(np.float32)
    found = [
        np.concatenate([part.numpy().astype(np.float32) for part in network.multiply_states(states)], axis=1)
        for states in ([np.repeat(state[:, :width], rows, 0) for width, *_ in network.product_shapes] for rows in sizes)
    ]
    for products in found:
        assert np.array_equal(products, np.broadcast_to(found[0][:1], products.shape))


def test_unsafe_numbers_of_rows_are_noticed():
    """A negative control: the last of 24 n + 8 rows are rounded in another way by float32 products of AVX2 processors."""
    network = network_of(128, "float32")
    proven = proven_rows._signature(network, 48)
    unsafe = [rows for rows in UNSAFE if proven_rows._signature(network, rows) is None]
    if not unsafe:
        pytest.skip("every number of rows is safe on this processor")
    assert proven is not None


def test_text_is_the_same_when_only_larger_blocks_can_be_used(tmp_path, monkeypatch):
    tiny_run(tmp_path)
    found = []
    for sizes in ((48, 96), (240,)):
        monkeypatch.setattr(proven_rows, "proven_block_sizes", lambda network, asked, sizes=sizes: sizes)
        sampler = Sampler(tmp_path, options=SamplerOptions(matmul_precision="float32"))
        assert sampler.max_rows == sizes[-1]
        requests = deque(SampleRequest(index, 0) for index in range(60))
        found.append({sample.request: sample.text for sample in sampler.stream(requests, DrawSettings(seed=3))})
    assert found[0] == found[1] and len(found[0]) == 60


_CHILD = """
import sys
from tests.model.sampling.test_proven_rows import digest_with_threads
digest_with_threads(*sys.argv[1:])
"""


def digest_with_threads(directory: str, threads: str, precision: str) -> None:
    """In a child process: print which block sizes are proven with a number of threads, and a digest of some texts."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(int(threads))
    sampler = Sampler(directory, options=SamplerOptions(matmul_precision=precision, block_rows=1008))
    requests = deque(SampleRequest(index, 0) for index in range(1200))
    samples = sorted((s.request.index, s.text) for s in sampler.stream(requests, DrawSettings(seed=3)))
    print(*sampler.block_sizes, hashlib.sha256(repr(samples).encode()).hexdigest())


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_text_does_not_depend_on_tensorflows_threads(tmp_path, precision):
    tiny_run(tmp_path, units=128)
    outputs = []
    for threads in (1, 4, 16):
        arguments = [sys.executable, "-c", _CHILD, str(tmp_path), str(threads), precision]
        *sizes, digest = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.split()
        assert {int(size) for size in sizes} <= set(BLOCK_SIZES)
        outputs.append(digest)
    assert len(set(outputs)) == 1
