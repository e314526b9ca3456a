"""Parameters are checked once and reach compiled code as plain numbers of one type each."""

import pickle
import re
from typing import Any

import numpy as np
import pytest

from flashsim.errors import InputError
from flashsim.sim.choice import ChoiceArguments, ChoiceParams
from flashsim.sim.inventory import StockArguments, StockParams
from flashsim.sim.parameters import as_arguments, check_range, check_seed
from flashsim.sim.servers import ServerArguments, ServerParams
from flashsim.sim.traffic import TrafficArguments, TrafficParams
from flashsim.sim.waiting_room import WaitingRoomArguments, WaitingRoomParams

KINDS = [
    (TrafficParams, TrafficArguments),
    (WaitingRoomParams, WaitingRoomArguments),
    (ServerParams, ServerArguments),
    (ChoiceParams, ChoiceArguments),
    (StockParams, StockArguments),
]
NAN, INFINITE = float("nan"), float("inf")


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


@pytest.mark.parametrize("seed", [0, 2**63 - 1, np.int64(5), np.uint64(7)])
def test_a_seed_is_a_whole_number_below_its_limit(seed: Any) -> None:
    found = check_seed(seed)
    assert found == int(seed)
    assert type(found) is int


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, True, "1", None, np.float64(2.0)])
def test_what_is_no_seed_is_refused_with_its_range(seed: Any) -> None:
    with pytest.raises(
        InputError, match=rf"^seed must be a whole number from 0 to 2\^63 - 1, got {re.escape(repr(seed))}$"
    ):
        check_seed(seed)


def test_a_seed_with_a_range_and_a_name_of_its_own_is_refused_by_them() -> None:
    assert check_seed(2**30 - 1, bits=30) == 2**30 - 1
    with pytest.raises(InputError, match=r"^draw_seed must be a whole number from 0 to 2\^30 - 1, got 1073741824$"):
        check_seed(2**30, name="draw_seed", bits=30)


@pytest.mark.parametrize(
    ("params", "name", "value", "words"),
    [
        (TrafficParams, "push_budget", -1, "between 0 and 100"),
        (TrafficParams, "push_uplift", -0.1, "between 0 and 10"),
        (TrafficParams, "push_half_life", NAN, "between 0.1 and 1e+06"),
        (TrafficParams, "goodwill_share", 1.5, "between 0 and 1"),
        (TrafficParams, "goodwill_half_life", 0.0, "between 0.1 and 1e+06"),
        (TrafficParams, "sharing_ratio", 1.0, "at least 0 and below 1"),
        (TrafficParams, "sharing_ratio", -0.2, "at least 0 and below 1"),
        (TrafficParams, "sharing_ratio", NAN, "at least 0 and below 1"),
        (TrafficParams, "sharing_delay", INFINITE, "between 0.1 and 1e+06"),
        (TrafficParams, "highest_conversion", 0.0, "between 0.01 and 1"),
        (WaitingRoomParams, "room_patience", 0.0, "between 1e-06 and 1e+09"),
        (WaitingRoomParams, "room_patience", NAN, "between 1e-06 and 1e+09"),
        (ServerParams, "service_rate", 0.0, "between 1e-09 and 1e+09"),
        (ServerParams, "start_servers", 61, "between 1 and 60"),
        (ServerParams, "min_servers", 61, "between 61 and 1e+06"),
        (ServerParams, "timeout_s", 0.4, "above unloaded_latency_s = 0.4"),
        (ServerParams, "timeout_s", NAN, "above unloaded_latency_s = 0.4"),
        (ServerParams, "lag", 0.5, "a whole number"),
        (ServerParams, "lag", True, "a whole number"),
        (ServerParams, "drain_ticks", -1, "between 0 and 1000"),
        (ServerParams, "max_servers", 60.0, "a whole number"),
        (ServerParams, "patience_ticks", 0.0, "between 1e-06 and 1e+09"),
        (ServerParams, "queue_limit", -1, "between 0 and 1e+09"),
        (ServerParams, "retry_share", 1.1, "between 0 and 1"),
        (ServerParams, "retry_delay", 0.0, "between 0.001 and 1e+06"),
        (ServerParams, "collapse_load", 0.5, "0 (never) or at least 1"),
        (ServerParams, "collapse_load", NAN, "0 (never) or at least 1"),
        (ServerParams, "collapse_load", -1.0, "0 (never) or at least 1"),
        (ServerParams, "collapsed_health", 0.0, "between 0.01 and 1"),
        (ServerParams, "recovery", 1.5, "between 0 and 1"),
        (ChoiceParams, "reference_gain", -1.0, "between 0 and 100"),
        (ChoiceParams, "reference_loss", NAN, "between 0 and 100"),
        (ChoiceParams, "reference_half_life", 0.0, "between 0.1 and 1e+06"),
        (ChoiceParams, "scarcity_cue", -0.1, "between 0 and 10"),
        (ChoiceParams, "scarcity_threshold", 1.1, "between 0 and 1"),
        (ChoiceParams, "watch_share", -0.1, "between 0 and 1"),
        (ChoiceParams, "watch_response", -1.0, "between 0 and 100"),
        (ChoiceParams, "another_unit", 1.0, "at least 0 and below 1"),
        (ChoiceParams, "another_unit", NAN, "at least 0 and below 1"),
        (ChoiceParams, "limit", 0, "between 1 and 100"),
        (ChoiceParams, "limit", 2.0, "a whole number"),
        (StockParams, "payment_failure", 1.5, "between 0 and 1"),
        (StockParams, "payment_delay", -1, "between 0 and 1000"),
        (StockParams, "cart_timeout", NAN, "a whole number"),
        (StockParams, "lots", -1, "between 0 and 1000"),
        (StockParams, "lot_share", -0.5, "between 0 and 1e+06"),
        (StockParams, "lead_time", 1.5, "a whole number"),
    ],
)
def test_impossible_parameters_are_refused_with_value_and_range(
    params: Any, name: str, value: float, words: str
) -> None:
    with pytest.raises(InputError) as refusal:
        params(**{name: value})
    message = str(refusal.value)
    assert "max_servers" in message if name == "min_servers" else message.startswith(name)
    assert words in message
    assert f"got {60 if name == 'min_servers' else value!r}" in message


def test_servers_that_can_never_start_are_refused() -> None:
    with pytest.raises(InputError, match="max_servers must be at least 1, got 0: servers that can never start"):
        ServerParams(min_servers=0, start_servers=0, max_servers=0)
    assert ServerParams(min_servers=0, start_servers=0, max_servers=0, hard_cap=True).max_servers == 0


def test_a_pool_too_large_to_be_simulated_event_by_event_is_refused() -> None:
    with pytest.raises(InputError, match=r"is_event_by_event: 120000 services a tick are more than 100000; lower"):
        ServerParams(is_event_by_event=True, service_rate=2000.0)
