import pytest
import torch

from metarun.metrics.regression import mae, mse

OUT = torch.tensor([[3.0, 4.0, 9.0], [1.0, 2.0, 3.0]])
Y = torch.tensor([[4.0, 2.0, 0.0], [1.0, 2.0, 3.0]])
MASK = torch.tensor([[1, 1, 0], [1, 1, 1]])


def test_by_hand():
    assert mse(OUT, Y, MASK).tolist() == [2.5, 0.0]  # (1 + 4) / 2
    assert mae(OUT, Y, MASK).tolist() == [1.5, 0.0]  # (1 + 2) / 2


def test_padding_is_never_read():
    out, y = OUT.clone(), Y.clone()
    out[0, 2], y[0, 2] = torch.nan, torch.inf
    assert mse(out, y, MASK).tolist() == [2.5, 0.0]
    assert mae(out, y, MASK).tolist() == [1.5, 0.0]


def test_vmap_and_one_task():
    assert torch.equal(torch.vmap(mse)(OUT, Y, MASK), mse(OUT, Y, MASK))
    assert mse(OUT[0], Y[0], MASK[0]).item() == 2.5


def test_a_task_without_rows_has_no_error():
    assert mse(OUT, Y, torch.zeros_like(MASK)).isnan().all()


def test_shapes_do_not_broadcast():
    with pytest.raises(ValueError, match=r"out \(2, 3, 1\), y \(2, 3\)"):
        mse(OUT[..., None], Y, MASK)
