"""Operators that MXNet's processor build has not, or ends with, against their definition."""

from __future__ import annotations

import numpy as np
import pytest
from tests.networks import Network

from gluonserve.loader.importing import InputHint, import_model
from gluonserve.tensors import DType

onnxruntime = pytest.importorskip("onnxruntime")


def answered(op: str, data: np.ndarray, outputs: int = 1, **given: object) -> list[np.ndarray]:
    net = Network()
    at = net.add(op, net.variable("data"), **given)
    hint = InputHint(dtype=DType.of(data.dtype), shape=data.shape)
    network = import_model(
        net.to_bytes(*([at[0], index, 0] for index in range(outputs))), inputs={"data": hint}
    )
    session = onnxruntime.InferenceSession(network.lower().to_bytes())
    return list(session.run(None, {"data": data}))


def test_spectra_are_pairs_side_by_side_and_come_back_times_their_length() -> None:
    data = np.random.default_rng(1).normal(size=(3, 8)).astype(np.float32)

    (spectrum,) = answered("_contrib_fft", data)
    (back,) = answered("_contrib_ifft", spectrum)

    wanted = np.fft.fft(data)
    np.testing.assert_allclose(spectrum[:, ::2], wanted.real, atol=1e-5)
    np.testing.assert_allclose(spectrum[:, 1::2], wanted.imag, atol=1e-5)
    np.testing.assert_allclose(back, 8 * data, atol=1e-5)


def test_asymmetric_bytes_reach_from_the_lowest_to_the_highest_number() -> None:
    data = np.array([[-1.5, 0.0, 0.75, 2.5]], np.float32)

    steps, scale, shift = answered("_contrib_quantize_asym", data, outputs=3)

    assert scale == pytest.approx(255 / 4)
    assert shift == pytest.approx(1.5 * 255 / 4)
    np.testing.assert_array_equal(steps, [[0, 96, 143, 255]])
