# %% [markdown]
"""
# A first sale in five minutes

A timed sale couples an offer, a stock and the servers that must carry the rush. This notebook plays the default sale
on the World that comes with the package, reads its ledger, and compares two policies.

Jupyter opens this file as a notebook where `jupytext` is installed. It is also a plain script:
`python notebooks/first_sale.py`. The first run compiles the simulator, which takes about a minute; later runs take
seconds.
"""

# %%
import matplotlib.pyplot as plt
import pandas as pd

import flashsim
from flashsim.rules import human_team, run_out_price

# %% [markdown]
"""
## The sale

A *World* holds what is known of a shop: its demand, its prices, and how uncertain they are. A *scenario* is one planned
sale on a World. The simulator plays a compiled scenario. Each sale draws one of the World's members, which are worlds
that the data allow. Nothing is ever tuned on the held-out members, so policies are compared on those.
"""

# %%
scenario = flashsim.scenario_named("grocery_evening", flashsim.shipped_world())
sale = scenario.compile()
sale = sale.with_members(sale.heldout_members)
print(scenario.story)
print(pd.DataFrame({"stock": sale.stock}, index=list(sale.product_names)))

# %% [markdown]
"""
## One sale and its ledger

The *run-out price* gives each product the price at which, by forecast, its stock lasts just to the end. The simulator
states facts only: who came, who was served, who left, what was paid. Profit and other key figures follow
from them.
"""

# %%
rule = run_out_price(sale)
one = flashsim.play(sale, rule, sales=1, seed=0)
ledger = pd.Series({name: float(total[0]) for name, total in one.totals.items()}, name="one sale")
print(ledger.round(2).to_string())

# %% [markdown]
"""
## Two policies, the same sales

Both policies meet the same 200 sales: the same people, the same demand. Chance that both meet cancels in the
differences. Their intervals are paired, and they count that worlds differ.
The *human team* holds 15, 30 and 45 % off in the thirds of the sale and adds servers when they are busy.
"""

# %%
played = [flashsim.play(sale, policy, sales=200, seed=0) for policy in (rule, human_team(sale))]
result = flashsim.compare(played, learners=[rule.name], baselines=["human team"], currency=sale.currency)
print(result)

# %%
shown = ["profit", "units_sold", "conversion", "error_share", "p95_latency_s"]
differences = result.tables["differences"].set_index("kpi").loc[shown, ["difference", "low", "high"]]
print(f"{rule.name} less human team, 95 % intervals")
print(differences.round(3))

# %% [markdown]
"""
## What they do when

Both order servers before the doors open. The rule follows stock and demand; the team follows the clock.
"""

# %%
figure, (depths, waits) = plt.subplots(2, 1, sharex=True, figsize=(7, 5), layout="constrained")
for rollout in played:
    depths.plot(100 * rollout.profile["depth"].mean(axis=1), label=rollout.policy)
    waits.plot(rollout.profile["latency_p95_s"])
depths.set_ylabel("mean discount, %")
depths.legend(frameon=False)
waits.set_ylabel("95th percentile of latency, s")
waits.set_xlabel("minute of the sale")
plt.show()

# %% [markdown]
"""
## Next

* `examples/own_policy.py`: a policy of your own in this comparison;
* `examples/own_scenario.py`: a sale of your own;
* `python -m experiments.run`: train PPO and DQN on it and write a report.
"""
