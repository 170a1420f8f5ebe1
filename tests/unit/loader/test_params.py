"""Parameter files of every era and kind are read as MXNet reads them."""

from __future__ import annotations

import contextlib
import io
import math
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from params_writer import DTYPES, Version, csr, dense, none, params_file, row_sparse

from gluonserve.errors import InvalidModel
from gluonserve.loader.params import Params, read_params

FORMATS = Path(__file__).parents[2] / "data/formats"
NETWORKS = ("arrays", "cnn", "loops", "mlp", "numpy", "rnn")
ARRAY = np.arange(6, dtype="f4").reshape(2, 3)


@pytest.fixture
def write(tmp_path: Path):
    def written(content: bytes) -> Path:
        path = tmp_path / "net-0000.params"
        path.write_bytes(content)
        return path

    return written


@pytest.fixture
def read(write):
    def opened(content: bytes) -> Params:
        return read_params(write(content))

    return opened


@pytest.mark.parametrize("network", NETWORKS)
def test_arrays_are_those_that_mxnet_read(network: str) -> None:
    with (
        np.load(FORMATS / f"{network}-expected.npz") as expected,
        read_params(FORMATS / f"{network}-0000.params") as params,
    ):
        assert set(params) == set(expected)
        for name, array in params.items():
            assert params.dtype(name) == array.dtype
            assert params.shape(name) == array.shape
            np.testing.assert_array_equal(array, expected[name], strict=True)


@pytest.mark.parametrize("version", [0, 1, 2, 3])
@pytest.mark.parametrize("code", DTYPES)
def test_every_version_holds_every_type(read, version: Version, code: str) -> None:
    params = read(params_file([dense(ARRAY.astype(code), version)], ["arg:x"]))

    np.testing.assert_array_equal(params["x"], ARRAY.astype(code), strict=True)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        st_numpy.arrays(st.sampled_from(DTYPES), st_numpy.array_shapes(max_dims=5, min_side=0)),
    ),
    st.sampled_from([1, 2, 3]),
)
def test_what_is_written_is_read(read, arrays: dict[str, np.ndarray], version: Version) -> None:
    content = params_file(
        [dense(array, version) for array in arrays.values()], [f"arg:{name}" for name in arrays]
    )

    params = read(content)

    assert list(params) == list(arrays)
    assert params.stored_bytes == sum(array.nbytes for array in arrays.values())
    for name, array in arrays.items():
        np.testing.assert_array_equal(params[name], array, strict=True)


def test_rank_zero_is_a_scalar_in_version_3(read) -> None:
    params = read(params_file([dense(np.float32(2.5).reshape(()), 3)], ["arg:x"]))

    assert params["x"].shape == ()
    assert params["x"] == 2.5


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_array_without_value_is_left_out_and_noted(read, version: Version) -> None:
    params = read(params_file([none(version), dense(ARRAY)], ["arg:x", "arg:y"]))

    assert list(params) == ["y"]
    assert params.notes == ("'x' has no value",)


def test_bfloat16_becomes_float32(read) -> None:
    bits = np.array([0x3FC0, 0xC010, 0x7F80], "u2")

    params = read(params_file([dense(bits, flag=12)], ["arg:x"]))

    np.testing.assert_array_equal(params["x"], np.array([1.5, -2.25, math.inf], "f4"), strict=True)


def test_row_sparse_becomes_dense(read) -> None:
    params = read(params_file([row_sparse((4, 3), [1, 3], ARRAY)], ["arg:x"]))

    expected = np.zeros((4, 3), "f4")
    expected[[1, 3]] = ARRAY
    np.testing.assert_array_equal(params["x"], expected, strict=True)


@pytest.mark.parametrize("claimed", [None, (0,)], ids=["right", "written too early"])
def test_csr_becomes_dense_whatever_storage_shape_it_claims(read, claimed) -> None:
    record = csr((3, 4), [0, 2, 2, 3], [0, 3, 1], np.array([1, 2, 3], "f4"), claimed)

    params = read(params_file([record, dense(ARRAY)], ["arg:x", "arg:y"]))

    expected = np.array([[1, 0, 0, 2], [0, 0, 0, 0], [0, 3, 0, 0]], "f4")
    np.testing.assert_array_equal(params["x"], expected, strict=True)
    np.testing.assert_array_equal(params["y"], ARRAY, strict=True)


BAD_SPARSE = {
    "row beyond": row_sparse((4, 3), [1, 4], ARRAY),
    "row below": row_sparse((4, 3), [-1, 3], ARRAY),
    "rows falling": row_sparse((4, 3), [3, 1], ARRAY),
    "rows equal": row_sparse((4, 3), [1, 1], ARRAY),
    "huge when dense": row_sparse((2**40, 3), [1, 3], ARRAY),
    "negative dimension": row_sparse((-4, 3), [1, 3], ARRAY),
    "column beyond": csr((2, 2), [0, 1, 2], [0, 2], np.ones(2, "f4")),
    "column below": csr((2, 2), [0, 1, 2], [0, -1], np.ones(2, "f4")),
    "starts falling": csr((2, 2), [0, 3, 2], [0, 1], np.ones(2, "f4")),
    "starts not at 0": csr((2, 2), [1, 1, 2], [0, 1], np.ones(2, "f4")),
    "starts end early": csr((2, 2), [0, 1, 1], [0, 1], np.ones(2, "f4")),
    "starts too few": csr((2, 2), [0, 2], [0, 1], np.ones(2, "f4")),
    "of three dimensions": csr((2, 2, 1), [0, 1, 2], [0, 1], np.ones(2, "f4")),
}


@pytest.mark.parametrize("record", BAD_SPARSE.values(), ids=BAD_SPARSE)
def test_inconsistent_sparse_array_is_refused(read, record: bytes) -> None:
    with pytest.raises(InvalidModel, match=r"net-0000\.params: byte \d+: expected .*, got "):
        read(params_file([record], ["arg:x"]))


BROKEN = {
    "another magic": struct.pack("<QQQQ", 0x113, 0, 0, 0),
    "too short": b"\x12\x01",
    "empty": b"",
    "too many arrays": struct.pack("<QQQQ", 0x112, 0, 2**60, 0),
    "unknown record": params_file([struct.pack("<I", 77)], ["arg:x"]),
    "names missing": params_file([dense(ARRAY)], []),
    "more names than arrays": params_file([dense(ARRAY)], ["arg:x", "arg:y"]),
    "name not UTF-8": params_file([dense(ARRAY)], ["arg:x"])[:-1] + b"\xff",
    "name too long": params_file([dense(ARRAY)], ["arg:x"])[:-1],
    "data cut": params_file([dense(ARRAY)], ["arg:x"])[:70],
    "unknown type": params_file([dense(ARRAY, flag=13)], ["arg:x"]),
    "type -1": params_file([dense(ARRAY, flag=-1)], ["arg:x"]),
    "rank 33": params_file([struct.pack("<Iii", 0xF993FAC9, 0, 33)], ["arg:x"]),
    "negative dimension": params_file(
        [struct.pack("<IiiqqiiiI", 0xF993FAC9, 0, 2, -1, 4, 1, 0, 0, 0)], ["arg:x"]
    ),
    "absurd shape with a 0": params_file(
        [struct.pack("<IiiqqiiiI", 0xF993FAC9, 0, 2, 0, 2**60, 1, 0, 0, 0)], ["arg:x"]
    ),
    "sparse in version 3": params_file([struct.pack("<Ii", 0xF993FACA, 1)], ["arg:x"]),
    "one npy": b"\x93NUMPY\x01\x00" + bytes(40),
    "zip without directory": b"PK\x03\x04" + bytes(40),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_broken_file_is_refused_by_name(read, content: bytes) -> None:
    with pytest.raises(InvalidModel, match=r"net-0000\.params: .*expected "):
        read(content)


def test_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidModel, match=r"missing\.params: cannot be read: "):
        read_params(tmp_path / "missing.params")


def test_file_over_the_limit_is_refused(write) -> None:
    path = write(params_file([dense(ARRAY)], ["arg:x"]))

    with pytest.raises(InvalidModel, match="got 109"):
        read_params(path, max_bytes=100)


def test_bytes_after_the_names_are_noted(read) -> None:
    params = read(params_file([dense(ARRAY)], ["arg:x"]) + b"tail")

    assert params.notes == ("4 bytes after the last name are ignored",)


def test_of_two_arrays_with_one_name_the_later_counts(read) -> None:
    records = [dense(ARRAY), dense(ARRAY + 1), dense(ARRAY + 2)]

    params = read(params_file(records, ["arg:x", "arg:x", "aux:x"]))

    np.testing.assert_array_equal(params["x"], ARRAY + 2)
    assert params.notes == ("'x' is stored twice; the later array counts",) * 2


def test_names_of_save_parameters_are_told_apart(read) -> None:
    exported = read(params_file([dense(ARRAY)], ["arg:x"]))
    assert exported.prefixed

    saved = read(params_file([dense(ARRAY)], ["0.weight"]))
    assert not saved.prefixed
    assert list(saved) == ["0.weight"]


def test_empty_list_has_no_arrays(read) -> None:
    assert len(read(params_file([], []))) == 0


def test_arrays_are_read_only_views_of_the_file(read) -> None:
    params = read(params_file([dense(ARRAY)], ["arg:x"]))

    array = params["x"]
    assert not array.flags.writeable
    assert array.base is not None
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1


def test_views_outlive_closing(read) -> None:
    params = read(params_file([dense(ARRAY)], ["arg:x"]))
    array = params["x"]

    params.close()
    params.close()

    np.testing.assert_array_equal(array, ARRAY)
    with pytest.raises(ValueError, match="is closed"):
        _ = params["x"]


def _npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def _npy(descr: str, shape: str, data: bytes) -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def _zip(**entries: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return stream.getvalue()


@pytest.mark.parametrize("code", DTYPES)
def test_npz_holds_every_type(read, code: str) -> None:
    arrays = {"arg:x": ARRAY.astype(code), "aux:a/b": np.asfortranarray(ARRAY).astype(code)}
    arrays |= {"arg:scalar": np.array(1, code), "arg:none": np.zeros((0, 3), code)}

    params = read(_npz(**arrays))

    for name, array in arrays.items():
        np.testing.assert_array_equal(params[name[4:]], array, strict=True)


def test_npz_may_hold_bfloat16(read) -> None:
    content = _npy("<b2", "(2,)", np.array([0x3FC0, 0xC010], "u2").tobytes())

    params = read(_zip(**{"arg:x.npy": content}))

    np.testing.assert_array_equal(params["x"], np.array([1.5, -2.25], "f4"), strict=True)


def test_npz_may_hold_sparse_arrays_as_folders(read) -> None:
    longs = {"shape": [3, 4], "indptr": [0, 2, 2, 3], "indices": [0, 3, 1]}
    entries = {
        f"arg:x/{name}.npy": _npy("<i8", f"({len(values)},)", np.array(values, "<i8").tobytes())
        for name, values in longs.items()
    }
    entries["arg:x/data.npy"] = _npy("<f4", "(3,)", np.array([1, 2, 3], "<f4").tobytes())
    entries["arg:x/format.npy"] = b"\x93NUMPY\x01\x00" + struct.pack("<H", 5) + b"{oops" + b"csr"

    params = read(_zip(**entries))

    expected = np.array([[1, 0, 0, 2], [0, 0, 0, 0], [0, 3, 0, 0]], "f4")
    np.testing.assert_array_equal(params["x"], expected, strict=True)


BROKEN_NPZ = {
    "objects": _zip(**{"x.npy": _npy("|O", "(1,)", bytes(8))}),
    "no npy": _zip(**{"x.npy": b"nothing of the kind"}),
    "data cut": _zip(**{"x.npy": _npy("<f4", "(100,)", bytes(8))}),
    "huge shape": _zip(**{"x.npy": _npy("<f4", "(99999999999999999999, 2)", bytes(8))}),
    "unknown type": _zip(**{"x.npy": _npy("<f3", "(1,)", bytes(8))}),
    "sparse without shape": _zip(**{"x/format.npy": _npy("|S3", "()", b"csr")}),
    "directory gone": _npz(x=ARRAY)[:-30],
}


@pytest.mark.parametrize("content", BROKEN_NPZ.values(), ids=BROKEN_NPZ)
def test_broken_npz_is_refused_by_name(read, content: bytes) -> None:
    with pytest.raises(InvalidModel, match=r"net-0000\.params: .*expected "):
        read(content)


def test_compressed_npz_is_refused(read) -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, x=ARRAY)

    with pytest.raises(InvalidModel, match="neither compressed nor encrypted"):
        read(stream.getvalue())


@pytest.mark.parametrize("cut", range(0, 900, 7))
def test_npz_cut_or_flipped_anywhere_gives_one_error_or_arrays(read, cut: int) -> None:
    content = bytearray(_npz(x=ARRAY, y=ARRAY.astype("i8"), z=np.zeros((0, 2))))
    content[cut % len(content)] ^= 1 << cut % 8

    for broken in (bytes(content), bytes(content[:cut])):
        with contextlib.suppress(InvalidModel):
            for array in read(broken).values():
                array.sum()
