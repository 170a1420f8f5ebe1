"""Weights by reference, memory of batches, and the device path of ONNX Runtime."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING

import exported
import numpy as np
import pytest

from gluonserve.executors import ExecutorOptions
from gluonserve.executors.memory import ALIGNMENT, Footprint, FreeList, InputMemory
from gluonserve.executors.onnxruntime import OnnxRuntimeExecutor, open_session
from gluonserve.executors.weights import borrowed, let_pages_go
from gluonserve.loader.importing import import_model
from gluonserve.tensors import DType, TensorSpec

if TYPE_CHECKING:
    from pathlib import Path


def test_input_memory_is_aligned_and_reused_by_smaller_shapes() -> None:
    memory = InputMemory(TensorSpec("x", DType.FP32, (-1, 3)))

    large, small = memory.view((8, 3)), memory.view((2, 3))

    assert large.ctypes.data % ALIGNMENT == 0
    assert small.ctypes.data == large.ctypes.data
    assert memory.view((8, 3)) is large


def test_input_memory_grows_for_larger_shapes() -> None:
    memory = InputMemory(TensorSpec("x", DType.FP16, (-1, 3)))
    memory.view((1, 3))

    array = memory.view((100, 3))
    array[...] = 7

    assert array.shape == (100, 3)
    assert array.dtype == np.float16


def test_free_list_keeps_a_bounded_number_of_slots() -> None:
    slots = FreeList(object, keep=2)
    every = [slots.take() for _ in range(5)]
    for slot in every:
        slots.give_back(slot)

    again = [slots.take() for _ in range(3)]

    assert again[:2] == [every[4], every[3]]
    assert again[2] not in every


def test_memory_goes_after_several_far_smaller_runs() -> None:
    footprint = Footprint()
    rows = {size: {"x": np.zeros(size, np.uint8)} for size in (10, 1280)}

    told = [footprint.outgrown(rows[size]) for size in [1280, *[10] * 16]]
    footprint.gone()
    afterwards = [footprint.outgrown(rows[10]) for _ in range(16)]

    assert [at for at, one in enumerate(told) if one] == [8, 16], "asked again until it has gone"
    assert not any(afterwards)


def test_memory_stays_for_sizes_that_come_again() -> None:
    footprint = Footprint()
    sizes = [*[6400, *[10] * 7] * 4, *[6400, 100] * 20, *[6400, *[100] * 20]]

    assert not any(footprint.outgrown({"x": np.zeros(size, np.uint8)}) for size in sizes)


def test_borrowed_weights_are_the_mapped_memory_itself(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    file.write_bytes(np.arange(6, dtype=np.float32).tobytes())
    with file.open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    array = np.frombuffer(mapped, np.float32)

    taken = borrowed(array)

    assert taken.flags.writeable
    assert taken.ctypes.data == array.ctypes.data


def test_misaligned_weights_are_copied() -> None:
    array = np.frombuffer(b"\0" + np.arange(4, dtype=np.float64).tobytes(), np.float64, offset=1)

    taken = borrowed(array)

    assert taken.flags.aligned
    np.testing.assert_array_equal(taken, array)


def test_pages_that_went_come_back_from_the_file(tmp_path: Path) -> None:
    file = tmp_path / "weights"
    values = np.arange(4096, dtype=np.float32)
    file.write_bytes(values.tobytes())
    with file.open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    array = np.frombuffer(mapped, np.float32)[16:]

    let_pages_go([array, np.zeros(3)])

    np.testing.assert_array_equal(array, values[16:])


@pytest.mark.parametrize("rows", [1, 4, 2], ids=str)
def test_device_memory_is_filled_from_the_lease_and_read_back(tmp_path: Path, rows: int) -> None:
    """The path of CUDA devices, with the processor as the device."""
    network = exported.convolution()
    imported = import_model(*network.export(tmp_path))
    options = ExecutorOptions(threads=1)
    session = open_session(imported, options)._opened()
    executor = OnnxRuntimeExecutor(imported.signature, options, session, [], ("cpu", 0))
    lease = executor.lease({"data": (rows, 8, 6, 4)})

    for _ in range(2):
        inputs = network.draw(rows)
        lease.inputs["data"][...] = inputs["data"]
        executor.run(lease)
        (answer,) = lease.outputs.values()
        np.testing.assert_allclose(answer, network.compute(**inputs)[0], rtol=1e-4, atol=1e-5)

    lease.release()
    executor.close()
