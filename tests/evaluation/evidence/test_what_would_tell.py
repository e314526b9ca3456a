"""What would settle an open question, against what more sales and more worlds really do."""

import numpy as np
import pytest

from flashsim.evaluation.evidence.what_would_tell import Tell, what_would_tell, world_fields
from flashsim.evaluation.stats import bootstrap_means
from tests.worlds import make_scenario, make_world

WORLDS = 20


def drawn(*, effect: float, between: float, within: float, sales: int, seed: int = 0, worlds: int = WORLDS):  # type: ignore[no-untyped-def]
    """Scores (sale,) of ``sales`` a world, and their members."""
    generator = np.random.default_rng(seed)
    members = np.repeat(np.arange(worlds), sales)
    centers = between * generator.standard_normal(worlds)
    return effect + centers[members] + within * generator.standard_normal(members.size), members


def claimed(*, effect: float, between: float, within: float, sales: int, worlds: int = WORLDS) -> float:
    """Share of a hundred repetitions that claim an effect."""
    found = 0
    for seed in range(100):
        scores, members = drawn(
            effect=effect, between=between, within=within, sales=sales, seed=seed + 1, worlds=worlds
        )
        found += float(bootstrap_means(scores[:, None], members, resamples=500).p_value()[0]) < 0.05
    return found / 100


def test_as_many_sales_as_it_names_tell_about_four_times_in_five() -> None:
    scores, members = drawn(effect=1.0, between=0.2, within=10.0, sales=20, seed=3)
    scores += 1.0 - scores.mean()
    tell = what_would_tell(scores, members, alpha=0.05, fields={})
    assert tell.kind == "sales"
    assert tell.amount > scores.size
    assert 0.65 <= claimed(effect=1.0, between=0.2, within=10.0, sales=tell.amount // WORLDS) <= 0.97


def test_where_worlds_differ_no_number_of_sales_tells_but_more_worlds_do() -> None:
    scores, members = drawn(effect=1.0, between=4.0, within=1.0, sales=20, seed=5)
    scores += 1.0 - scores.mean()
    tell = what_would_tell(scores, members, alpha=0.05, fields={})
    assert tell.kind == "worlds"
    assert tell.amount > WORLDS
    assert 0.65 <= claimed(effect=1.0, between=4.0, within=1.0, sales=20, worlds=tell.amount) <= 0.97


def test_fewer_than_eight_worlds_need_eight_at_least() -> None:
    scores, members = drawn(effect=5.0, between=0.1, within=0.1, sales=20, worlds=3)
    assert what_would_tell(scores, members, alpha=0.05, fields={}) == Tell("worlds", 8)


def test_one_world_is_told_by_its_sales_and_few_worlds_as_by_eight() -> None:
    scores, members = drawn(effect=1.0, between=0.0, within=10.0, sales=100, worlds=1)
    scores += 1.0 - scores.mean()
    tell = what_would_tell(scores, members, alpha=0.05, fields={})
    assert tell.kind == "sales"
    assert tell.amount == pytest.approx(100.0 * 2.8**2, rel=0.3)  # (1.96 + 0.84) standard errors
    scores, members = drawn(effect=1.0, between=0.0, within=10.0, sales=50, worlds=2)
    scores += 1.0 - scores.mean()
    assert what_would_tell(scores, members, alpha=0.05, fields={}).amount < 100


def test_an_effect_at_the_mark_is_told_by_nothing() -> None:
    scores, members = drawn(effect=0.0, between=1.0, within=1.0, sales=20)
    scores -= scores.mean()
    assert what_would_tell(scores, members, alpha=0.05, fields={}).kind == "nothing"
    assert what_would_tell(np.zeros(40), np.arange(40) % 20, alpha=0.05, fields={}).kind == "nothing"


def test_the_field_of_the_world_that_explains_the_worlds_is_named_and_chance_is_not() -> None:
    generator = np.random.default_rng(1)
    level = dict(enumerate(generator.standard_normal(WORLDS)))
    other = dict(enumerate(generator.standard_normal(WORLDS)))
    members = np.repeat(np.arange(WORLDS), 20)
    scores = np.array([level[int(member)] for member in members]) + 0.1 * generator.standard_normal(members.size)
    fields = {"the level of demand": level, "another thing": other}
    tell = what_would_tell(scores, members, alpha=0.05, about_worlds=True, fields=fields)
    assert (tell.kind, tell.field) == ("data", "the level of demand")
    assert tell.share == pytest.approx(1.0, abs=0.05)
    named = [
        what_would_tell(
            np.repeat(np.random.default_rng(seed).standard_normal(WORLDS), 2),
            np.repeat(np.arange(WORLDS), 2),
            alpha=0.05,
            about_worlds=True,
            fields=fields,
        ).field
        for seed in range(200)
    ]
    assert sum(field != "" for field in named) / 200 <= 0.09  # two fields, corrected for both


def test_the_fields_of_a_world_are_those_of_the_members_that_a_sale_may_draw() -> None:
    sale = make_scenario(make_world(members=4)).compile()
    own = sale.with_members((1, 3))
    fields = world_fields(own)
    assert all(set(by_member) == {1, 3} for by_member in fields.values())
    assert fields["the level of demand"][3] > fields["the level of demand"][1]
    assert fields["the response to discounts"][1] > 1.0
