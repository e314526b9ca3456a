"""A sale is itself: alone or in a batch, on one thread or two, compiled or not, copied or not."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from flashsim.errors import InputError
from flashsim.reference import g1
from flashsim.sim.engine import Batch
from tests.envs.played import play, small_sale
from tests.worlds import make_scenario

Record = dict[str, NDArray[np.generic]]


def assert_same(first: Record, second: Record) -> None:
    """Bit for bit."""
    assert first.keys() == second.keys()
    for name in first:
        assert first[name].dtype == second[name].dtype, name
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.mark.parametrize("products", [2, 9])
def test_each_row_of_a_batch_is_that_sale_alone(products: int) -> None:
    """Observations, rewards and ledgers of 256 sales through early closes and restarts.

    Nine products: from eight numbers on, the order in which numpy adds them depends on how they lie in memory.
    """
    sale = small_sale(products=products)
    together = play(sale, range(100, 356), ticks=20)
    assert together["is_closed"].any(axis=0).all()
    for row in (0, 1, 127, 128, 129, 200, 255):
        alone = play(sale, [100 + row], ticks=20)
        assert_same(alone, {name: path[:, row : row + 1] for name, path in together.items()})


@pytest.mark.parametrize("sales", [2, 65, 130, 300])
def test_the_width_of_the_tiles_does_not_matter(sales: int) -> None:
    sale = small_sale()
    assert_same(
        {name: path[:, :2] for name, path in play(sale, range(sales), ticks=9).items()}, play(sale, range(2), ticks=9)
    )


def test_one_thread_and_two_give_the_same_sales() -> None:
    sale = small_sale()
    assert_same(play(sale, range(150), ticks=9), play(sale, range(150), ticks=9, threads=2))


def test_the_compiled_sale_equals_the_same_functions_in_plain_python(tmp_path: Path) -> None:
    records = []
    for disabled in ("0", "1"):
        path = tmp_path / f"{disabled}.npz"
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "tests.envs.played", str(path)],
            env=os.environ | {"NUMBA_DISABLE_JIT": disabled},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        with np.load(path) as arrays:
            records.append({name: arrays[name] for name in arrays.files})
    assert_same(*records)
    assert records[0]["errors"].any()
    assert records[0]["paid"].any()
    assert records[0]["abandoned"].any()


def opened(sales: int, *, threads: int = 1) -> Batch:
    batch = Batch(small_sale().tables, sales, domain=0, threads=threads)
    batch.fill(batch.seed, np.arange(sales, dtype=np.uint64))
    batch.open(np.ones(sales, np.bool_))
    return batch


def through_pickle(batch: Batch) -> Batch:
    copy: Batch = pickle.loads(pickle.dumps(batch))
    return copy


@pytest.mark.parametrize("copy", [deepcopy, through_pickle])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_copy_of_a_batch_goes_on_as_the_batch_does(copy: Callable[[Batch], Batch], threads: int) -> None:
    batch = opened(130, threads=threads)
    batch.decisions.price_index[:] = 3
    for _ in range(3):
        batch.step()
    other = copy(batch)
    for _ in range(4):
        batch.step()
    for _ in range(4):
        other.step()
    for name, field in batch.ledger._asdict().items():
        np.testing.assert_array_equal(field, getattr(other.ledger, name), err_msg=name)


def test_opening_one_row_leaves_the_others_as_they_are() -> None:
    batch = opened(140)
    batch.step()
    before = deepcopy(batch.state)
    row = np.arange(140) == 136
    batch.fill(batch.episode, np.where(row, 1, 0).astype(np.uint64))
    batch.open(row)
    assert batch.rows(batch.state.tick)[136] == 0
    assert batch.rows(batch.state.key)[136] != batch.rows(before.key)[136]
    for name in ("key", "tick", "member", "frailty"):
        now, then = batch.rows(getattr(batch.state, name)), batch.rows(getattr(before, name))
        np.testing.assert_array_equal(now[~row], then[~row], err_msg=name)
    for part in ("traffic", "room", "servers", "queue", "choice", "stock"):
        for name, field in getattr(batch.state, part)._asdict().items():
            then = batch.rows(getattr(getattr(before, part), name))
            np.testing.assert_array_equal(batch.rows(field)[~row], then[~row], err_msg=name)


def test_a_sale_that_has_ended_is_not_stepped_on() -> None:
    batch = opened(3)
    batch.fill(batch.decisions.timing, np.array([0, 3, 0]))
    batch.step()
    assert batch.rows(batch.ledger.is_closed).tolist() == [False, True, False]
    with pytest.raises(RuntimeError, match="open it again"):
        batch.step()


@pytest.mark.parametrize(("changes", "words"), [({"sales": 0}, "sales.*got 0"), ({"threads": 0}, "threads.*got 0")])
def test_an_impossible_batch_is_refused(changes: dict[str, int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Batch(g1().compile().tables, changes.get("sales", 1), domain=0, threads=changes.get("threads", 1))


def test_rows_and_fill_are_inverse() -> None:
    batch = opened(135)  # two tiles of 68, one lane of which nobody reads
    values = np.arange(270).reshape(135, 2)
    batch.fill(batch.decisions.price_index, values)
    np.testing.assert_array_equal(batch.rows(batch.decisions.price_index), values)


@pytest.mark.parametrize("members", [(0,), (1, 2)])
def test_a_sale_draws_one_of_its_members(members: tuple[int, ...]) -> None:
    batch = Batch(make_scenario().compile().with_members(members).tables, 500, domain=0)
    batch.fill(batch.seed, np.arange(500, dtype=np.uint64))
    batch.open(np.ones(500, np.bool_))
    drawn = np.bincount(batch.rows(batch.state.member), minlength=3)
    assert set(np.flatnonzero(drawn)) == set(members)
    assert drawn[list(members)].min() > 0.8 * 500 / len(members)


def test_frailties_have_mean_1_and_the_variance_of_their_member() -> None:
    sales = 40_000
    tables = make_scenario().compile().with_members((1,)).tables
    batch = Batch(tables, sales, domain=0)
    batch.fill(batch.seed, np.arange(sales, dtype=np.uint64))
    batch.open(np.ones(sales, np.bool_))
    frailty = batch.rows(batch.state.frailty)
    common, own = tables.common_variance[1], tables.product_variance[1]
    deviations = frailty.std(axis=0) / np.sqrt(sales)
    assert (np.abs(frailty.mean(axis=0) - 1.0) < 4.0 * deviations).all()
    np.testing.assert_allclose(frailty.var(axis=0), (1.0 + common) * (1.0 + own) - 1.0, rtol=0.06)
    covariance = np.cov(frailty.T)
    np.testing.assert_allclose(covariance[np.triu_indices(3, 1)], common, rtol=0.2)
