import zipfile

import numpy as np
import pytest

from metarun.arrays import read_npz

ARRAYS = {
    "ids": np.arange(5), "values": np.array([0.5, np.nan, np.inf]), "index": np.array(["a", "ünï"]),
    "table": np.arange(6.0).reshape(2, 3), "none": np.zeros(0), "one": np.array(3.5), "flags": np.array([True, False]),
}  # fmt: skip


def test_it_reads_what_numpy_reads(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", **ARRAYS)
    found = read_npz(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz") as expected:
        assert list(found) == list(expected.files)
        for name in expected.files:
            np.testing.assert_array_equal(found[name], expected[name])
            assert found[name].dtype == expected[name].dtype
            assert found[name].flags.writeable


def test_objects_and_other_orders_are_refused(tmp_path):
    np.savez(tmp_path / "object.npz", a=np.array([{"run": "me"}], dtype=object))
    np.savez(tmp_path / "order.npz", a=np.asfortranarray(np.ones((2, 3))))
    for name in ("object", "order"):
        with pytest.raises(ValueError, match="is not read"):
            read_npz(tmp_path / f"{name}.npz")


def test_a_damaged_value_is_noticed(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.arange(100.0))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[300] ^= 1
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.npy is damaged"):
        read_npz(tmp_path / "a.npz")


def test_what_is_broken(tmp_path):
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("a.npy", "hello")
    with pytest.raises(ValueError, match="no array"):
        read_npz(tmp_path / "text.npz")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(zipfile.BadZipFile):
        read_npz(tmp_path / "cut.npz")
