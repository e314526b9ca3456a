"""Parameters are checked once and reach compiled code as plain numbers of one type each."""

import pickle
from typing import Any

import pytest

from flashsim.errors import InputError
from flashsim.sim.inventory import StockArguments, StockParams
from flashsim.sim.parameters import as_arguments, check_range
from flashsim.sim.servers import ServerArguments, ServerParams
from flashsim.sim.traffic import TrafficArguments, TrafficParams

KINDS = [(TrafficParams, TrafficArguments), (ServerParams, ServerArguments), (StockParams, StockArguments)]


@pytest.mark.parametrize(("params", "kind"), KINDS)
def test_arguments_are_pickled_by_name_so_that_compiled_code_is_found_again(params: Any, kind: Any) -> None:
    arguments = as_arguments(params(), kind)
    assert type(pickle.loads(pickle.dumps(arguments))) is kind
    assert pickle.loads(pickle.dumps(arguments)) == arguments


def test_every_number_has_its_declared_type_whatever_was_given() -> None:
    arguments = as_arguments(ServerParams(service_rate=20, cost=1, lag=2), ServerArguments)
    assert [type(arguments.service_rate), type(arguments.cost), type(arguments.lag)] == [float, float, int]
    assert type(arguments.hard_cap) is bool


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_value_outside_its_range_is_refused_with_the_value(value: float) -> None:
    with pytest.raises(InputError, match=r"share must be between 0 and 1, got"):
        check_range("share", value, 0.0, 1.0)


@pytest.mark.parametrize(
    ("params", "changes"),
    [
        (TrafficParams, {"push_uplift": -0.1}),
        (TrafficParams, {"push_half_life": float("nan")}),
        (TrafficParams, {"highest_conversion": 0.0}),
        (ServerParams, {"service_rate": 0.0}),
        (ServerParams, {"start_servers": 61}),
        (ServerParams, {"min_servers": 61}),
        (ServerParams, {"timeout_s": 0.4}),
        (ServerParams, {"lag": 0.5}),
        (ServerParams, {"lag": True}),
        (ServerParams, {"max_servers": 60.0}),
        (ServerParams, {"timeout_s": float("nan")}),
        (StockParams, {"payment_failure": 1.5}),
        (StockParams, {"payment_delay": -1}),
        (StockParams, {"cart_timeout": float("nan")}),
    ],
)
def test_impossible_parameters_are_refused_with_the_value(params: Any, changes: dict[str, float]) -> None:
    with pytest.raises(InputError, match="got"):
        params(**changes)
