"""A World's servers, rush and buyers are the shop's where its tables tell, and come from elsewhere, by name, if not."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from flashsim.calibration.site import Site, SiteRecords, learn_site
from flashsim.models.customers.cdnow import load_shipped as load_cdnow
from flashsim.models.traffic.latency import LatencyModel
from flashsim.models.traffic.loopback import Load
from flashsim.models.traffic.rush import Rush
from flashsim.models.traffic.world_cup import load_shipped as load_world_cup
from flashsim.world import World
from tests.models.traffic.made_traffic import make_visits

ASSUMED = {"service_rate": 20.0, "unloaded_latency_s": 0.4}
RUSH = Rush(3.0, 10.0, 40.0, 30.0)
SERVERS = LatencyModel(service_rate=0.5, unloaded_latency_s=0.3, servers=30)


def site(currency: str = "USD", **records: Any) -> Site:
    learned = learn_site(SiteRecords(**records), currency=currency, margin=0.25, assumed=ASSUMED, seed=0)
    json.dumps(learned.record, allow_nan=False)
    return learned


def traffic(*, days: int = 10) -> pd.DataFrame:
    """Visits of a site with four rushes of one kind, and what 30 servers make of them."""
    visits = make_visits(
        days=days, level=300.0, rushes=[(day * 1440 + 600, RUSH) for day in (2, 4, 6, 8) if day < days]
    )
    noise = np.exp(np.random.default_rng(0).normal(0.0, 0.02, visits.size))
    return pd.DataFrame(
        {
            "date": pd.Timestamp("2026-01-01") + pd.to_timedelta(np.arange(visits.size), unit="min"),
            "visits": visits.astype(np.float64),
            "response_time_s": SERVERS.response_times(visits, tick_s=60.0) * noise,
        }
    )


def purchases(customers: int = 2000) -> pd.DataFrame:
    """Customers who come back every ten weeks on average and spend 40; after a purchase one in five leaves, some more
    readily than others (BG/NBD has no finite fit where all leave alike)."""
    generator, rows = np.random.default_rng(0), []
    for customer in range(customers):
        day, rate = int(generator.integers(0, 90)), generator.gamma(1.0, 0.1) / 7.0
        leaving = generator.beta(1.0, 4.0)
        scale = 40.0 * 4.0 / generator.gamma(5.0, 1.0)
        while day < 365:
            rows.append((customer, day, generator.gamma(6.0, scale / 6.0)))
            day += 1 + int(generator.exponential(1.0 / rate))
            if generator.random() < leaving:
                break
    table = pd.DataFrame(rows, columns=["customer_id", "day", "value"])
    stamps = pd.Timestamp("2026-01-01") + pd.to_timedelta(table["day"], unit="D")
    return table.assign(date=stamps.astype("datetime64[ns]"), units=1)[["customer_id", "date", "units", "value"]]


def test_a_shop_without_records_takes_the_world_cup_cdnow_and_stated_assumptions() -> None:
    learned = site()
    typical = load_world_cup().rush.typical
    assert learned.fields["rush_decay_minutes"] == pytest.approx(typical.decay_minutes)
    assert learned.fields["service_rate"] == 20.0
    cdnow = load_cdnow()
    value = cdnow.later_purchases(52.0) * cdnow.spending.mean_spend_of_new() * 0.25
    assert learned.fields["buyer_value"] == pytest.approx(value)
    assert {assumption.field for assumption in learned.assumptions} == set(learned.fields)
    assert all(
        "was given" in assumption.reason or "were given" in assumption.reason for assumption in learned.assumptions
    )


def test_the_defaults_of_a_world_are_those_of_the_shipped_rush_rounded() -> None:
    for name, value in vars(load_world_cup().rush.typical).items():
        assert getattr(World, f"rush_{name}") == pytest.approx(value, rel=0.04)


def test_a_shops_own_traffic_gives_its_rush_and_its_servers() -> None:
    """Parameters within 10 %, as the fits promise on data of their own kind."""
    learned = site(traffic=traffic(), servers=30)
    assert learned.fields["service_rate"] == pytest.approx(60.0 * 0.5, rel=0.1)
    assert learned.fields["unloaded_latency_s"] == pytest.approx(0.3 + 1.0 / 0.5, rel=0.1)
    assert learned.fields["rush_amplitude"] == pytest.approx(RUSH.amplitude, rel=0.1)
    assert learned.fields["rush_decay_minutes"] == pytest.approx(RUSH.decay_minutes, rel=0.1)
    assert learned.record["rush"]["source"] == learned.record["servers"]["source"] == "traffic_data"
    assert {assumption.field for assumption in learned.assumptions} == {"buyer_value"}


def test_a_hole_in_the_traffic_does_not_keep_servers_from_being_learned() -> None:
    table = traffic()
    top = int(table["visits"].argmax())
    holed = table.drop(index=[top - 900, top + 1000]).reset_index(drop=True)
    assert site(traffic=holed, servers=30).fields["service_rate"] == pytest.approx(30.0, rel=0.1)


def test_traffic_that_tells_too_little_is_not_used_and_the_reason_stands_in_the_record() -> None:
    learned = site(traffic=traffic(days=4).drop(columns="response_time_s"))
    assert learned.fields["service_rate"] == 20.0
    assert "lacks response_time_s" in learned.record["servers"]["why_not_own"]
    assert "rushes of 2 times the ordinary were found" in learned.record["rush"]["why_not_own"]
    assert learned.fields["rush_ramp_minutes"] == pytest.approx(load_world_cup().rush.typical.ramp_minutes)


def test_own_purchases_give_a_buyers_value_that_is_no_assumption() -> None:
    learned = site(purchases=purchases(), currency="EUR")
    record = learned.record["buyers"]
    assert record["spend"] == pytest.approx(40.0, rel=0.1)
    assert learned.fields["buyer_value"] == pytest.approx(record["later_purchases"] * record["spend"] * 0.25)
    assert record["later_purchases"] > 1.0
    assert "buyer_value" not in {assumption.field for assumption in learned.assumptions}


def test_dollars_of_cdnow_are_no_euros() -> None:
    learned = site("EUR")
    assert learned.fields["buyer_value"] == 0.0
    (unknown,) = [assumption for assumption in learned.assumptions if assumption.field == "buyer_value"]
    assert "CDNOW's money is USD, not EUR" in unknown.reason


def test_a_loopback_server_is_measured_where_traffic_tells_nothing() -> None:
    """Services of 20 ms: 3000 a minute; a busy machine answers more slowly than it was told to."""
    learned = site(load=Load(servers=4, mean_service_s=0.02, ticks=16, tick_s=0.25, patience_s=20.0))
    assert learned.record["servers"]["source"] == "a loopback server under a bounded load"
    assert 0.4 * 3000.0 < learned.fields["service_rate"] < 1.3 * 3000.0
