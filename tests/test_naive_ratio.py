"""The program that compares the engine with a naive sale runs to its end, with every case in its table."""

from experiments.benchmarks.sale import make_sale
from tests.naive_ratio import NAIVE, ratio_table


def test_every_case_has_a_line_and_the_naive_sale_is_one_time_itself() -> None:
    lines = ratio_table(make_sale(2, 2), sales=(1, 3), seconds=0.0, repeats=1).splitlines()
    assert [line[:22].strip() for line in lines] == ["", NAIVE, "engine, sales: 1", "engine, sales: 3"]
    rates = [float(number.replace(",", "")) for line in lines[1:] for number in line[22:].split()]
    assert min(rates[:-1:5]) > 0.0
    assert rates[2:4] == [1.0, 1.0]
