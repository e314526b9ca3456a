"""The most that any policy can earn: a relaxation, with its proof. (What a sale could have earned: ``hindsight``.)

For sales that drew member, frailties (f_p) and the time of a surge as given, no policy that sees the past only has a
larger expected profit than ``Relaxation.value``; averaged over sales it bounds the mean profit of every policy. It is a
Lagrangian relaxation of stock, with servers that answer at once, where all that the past can do for a tick is bounded.

**Notation.** Tick t, segment s, product p, price index k. u = f_p·rate are buyers at index k, or a multiple of it in a
surge, l those at list price, summed over products o and L; n units a buyer are paid; c_0 conversion at list, σ the
traffic share, e = L/c_0 visitors at list price, v(o) = e·(o/L)^σ those of an offer; μ_p >= 0 any price of a unit of
stock, m_pk = n·(price_pk - salvage_p - μ_p) of a buyer, F_pk = e^(gain·depth_pk), γ the goodwill share, δ its decay, ā
the largest σ·ln(o/L) of the segment.

**Proof.** 1. *Stock.* Each unit is paid once, so adding Σ_p μ_p·(stock_p + ordered_p - paid_p) >= 0 to the profit never
lowers it. What remains is Σ m_pk·buyers + Σ_p (μ_p + salvage_p - cost_p)·(stock_p + ordered_p) - servers -
penalties. Lots are ordered only where that pays, penalties dropped, and as c servers answer c·service_rate visits a
tick on average at most, a visit that is served costs ξ = cost/service_rate at least.

2. *A visit that is served* buys p with probability u_p·g_p/(v - o + Σ_q u_q·g_q), g_q = 0 where sold out and else a·r·c
with latency factor a <= 1, reference factor r <= F (the reference depth is >= 0) and scarcity factor c, put off to 7.
Its value R satisfies R·v = Σ_p u_p·(R + g_p·(m_p - R)). The right side is convex in R, so with 0 <= R <= R̄ and
0 <= g <= F, F >= 1, it is at most Σ_p u_p·max(F_p·m_p⁺, R̄) =: Σ_p u_p·H_p; with one product at most u·F·m⁺, as there is
nobody to turn from. As x^σ is concave, v >= Σ_p l_p·(u_p/l_p)^σ/c_0: hence R <= λ as soon as Σ_p max_k [u_pk·H_pk -
λ·l_p·(u_pk/l_p)^σ/c_0] <= 0. R̄ is the least λ that this shows, for the tick and all later ones of the segment; as a
visit makes one buyer at most, the largest F·m⁺ is an R̄ to begin with.

3. *Visits served later.* One that is not served in its tick is served later with probability ψ at most (patience;
retries), and is then worth R̄ at most: each visit is worth max(R - ξ, ψ·(R̄ - ξ)⁺) when it comes. (With a waiting room
ψ = 1.)

4. *People who watch* leave, return with probability ω at most, and are visits again: ŵ = (R̄ - ξ)⁺/(1 - ω) bounds the
worth of a visit with all that follows, and ω·ŵ is added to that of 3.

5. *How many come.* The exogenous family does not depend on the policy; its mean ē and the standard deviation of its
deviation d from the mean that its past explains follow from their recursions. As E[d] = 0 and a visit is worth between
0 and ŵ, a policy that reads d gains sd(d)·ŵ/2 a tick at most. Of the attracted family the immigrants are at most the
mean V - e plus pushes, and each brings n/(1 - n) further people, worth ŵ at most. V = v·e^(γ·z), z = G - a.

6. *Goodwill.* G stays within [0, ā] and z_t = (G_t - G_{t+1})/(1 - δ). With B_t <= B*_t what a tick earns at z = 0,
convexity gives e^(γz) <= cosh(γā) + (z/ā)·sinh(γā) on [-ā, ā]; as Σ z_t·B_t <= Σ z_t·B*_t + ā·Σ (B*_t - B_t) and
cosh >= sinh, Σ e^(γz_t)·B_t <= cosh(γā)·Σ B*_t + sinh(γā)/(1 - δ)·(B*_0 + Σ (B*_t - B*_{t-1})⁺), by summation by
parts. (Also <= e^(γā)·Σ B*_t; the smaller is taken.) B*_t is a sum over products of maxima over k, since v is
concave in o and lies below each of its tangents. A push adds uplift·decay^j·e^(γā)·B* for j = 0, 1, …

7. *Scarcity.* While available < threshold·planned, requests are up to 1 + cue times as many. Expected units filled are
concave in that factor and 0 at 0, so at most the share cue/(1 + cue) of what is filled then is owed to it: a unit of a
release that is among its last threshold·planned, or one that came back from a cart. ∎

**Where it holds.** All scenarios but those whose sharing comes on top of the learned demand, whose conversion can reach
its cap in one of the sales (frailties shift demand between products, and with it what o/L can be), or where a deeper
discount brings fewer units: they are refused. In a menu sale all of 2–7 vanish and the bound
is the fluid bound. For reference sales ``reference.fluid_value`` and ``reference.solve`` are to be used instead.

Source: Gallego & van Ryzin (1994), Management Science 40(8), for the fluid bound; Talluri & van Ryzin (1998),
Management Science 44(11), for prices of stock as multipliers; Gallego et al. (2015), Oper. Res. 63(1), for choice.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flashsim.envs.actions import ActionConfig
from flashsim.envs.reward import RewardConfig
from flashsim.envs.vector import SaleBatch, consecutive_seeds
from flashsim.errors import InputError
from flashsim.scenarios.compiled import CompiledSale
from flashsim.sim.failures import PAYMENT_FAILS, TRAFFIC_SURGES, fails_at
from flashsim.sim.streams import EVALUATION_DOMAIN
from flashsim.sim.waiting_room import OPEN

Array = NDArray[np.float64]
_HALVINGS = 24  # of the interval in which a multiplier is searched: any multiplier gives a bound
_ROUNDS = 30  # of Dinkelbach's iteration, which doubles its digits in each
_REFINEMENTS = 3  # of the bound on the value of a visit
_TANGENTS = (1.0, 1.2, 1.5, 2.0, 3.0)  # uplifts at which the number of visitors is bounded by its tangent
_STEPS = np.linspace(0.0, 1.0, 21)  # from the multipliers of the fluid plan to those at which nothing is worth selling


@dataclass(frozen=True)
class Relaxation:
    """A bound for each sale."""

    value: Array  # sale; currency
    multipliers: Array  # sale, product; currency a unit of stock


def relaxation(sale: CompiledSale, *, sales: int, seed: int, domain: int = EVALUATION_DOMAIN) -> Relaxation:
    """Bounds of the sales that ``rollout.play`` plays with the same arguments; InputError where the proof fails."""
    _check_claim(sale)
    batch = SaleBatch(sale, sales, action=ActionConfig(), reward=RewardConfig(), domain=domain)
    batch.seed(consecutive_seeds(seed, sales))
    state, rows = batch.batch.state, batch.batch.rows
    frailties = rows(state.frailty)
    failures, starts = sale.tables.failures, rows(state.failures.start)
    is_surging = fails_at(failures, starts, kind=TRAFFIC_SURGES, tick=np.arange(sale.ticks)[:, None])  # tick, sale
    drawn = np.column_stack([rows(state.member), is_surging.T])
    kinds, kind = np.unique(drawn, axis=0, return_inverse=True)
    values, multipliers, steps = np.zeros(sales), np.zeros((sales, sale.products)), dict[int, float]()
    for place, (member, *surging) in enumerate(kinds.tolist()):
        if member not in steps:
            steps[member] = _MemberBound(sale, member).best_step()
        world = _MemberBound(sale, member, demand=np.where(surging, failures.traffic_factor, 1.0))
        for row in np.flatnonzero(kind == place):
            world.check_conversion(frailties[row])
            multipliers[row] = world.multipliers(frailties[row], step=steps[member])
            values[row] = world.value(frailties[row], multipliers[row])
    return Relaxation(values, multipliers)


def _check_claim(sale: CompiledSale) -> None:
    """InputError with the assumption of the proof that does not hold."""
    tables = sale.tables
    traffic = tables.traffic
    if traffic.sharing_ratio > 0.0 and not traffic.sharing_is_learned:
        raise InputError(f"{sale.name!r}: sharing comes on top of the learned demand; the bound is not proven for it")
    rate = tables.rate[..., tables.members].astype(np.float64)  # tick, segment, product, price, member
    if traffic.has_exogenous_visitors and (np.diff(rate, axis=3) < -1e-6 * rate.max(initial=0.0)).any():
        raise InputError(f"{sale.name!r}: a deeper discount sells fewer units; the bound is not proven for it")
    if not traffic.has_exogenous_visitors and (traffic.goodwill_share > 0.0 or traffic.sharing_ratio > 0.0):
        raise InputError(
            f"{sale.name!r}: all visitors come for the offer and talk of it; the bound is not proven for it"
        )
    units = rate.max(axis=3).sum(axis=2)  # tick, segment, member
    listed = rate[:, :, :, 0].sum(axis=2)
    if sale.tables.choice.watch_share >= 1.0 and sale.price_levels > 1:
        raise InputError(f"{sale.name!r}: who watches always returns; the bound is not proven for it")
    if ((listed <= 0.0) & (units > 0.0)).any():
        raise InputError(f"{sale.name!r}: a segment buys nothing at list price; the bound is not proven for it")


class _MemberBound:
    """What the sales of one member and one ``demand`` (tick; a factor) have in common; frailties scale the products."""

    def __init__(self, sale: CompiledSale, member: int, *, demand: Array | float = 1.0) -> None:
        tables = sale.tables
        choice, carts, servers, traffic = tables.choice, tables.stock, tables.servers, tables.traffic
        allowed = (1.0 - choice.another_unit**choice.limit) / (1.0 - choice.another_unit)
        factor = np.broadcast_to(demand, sale.ticks)[:, None, None, None]
        buyers = tables.rate[..., member].astype(np.float64) * factor  # tick, segment, product, price
        self.sale, self.buyers = sale, buyers
        self.paid = allowed * (1.0 - carts.payment_failure)  # units a buyer
        self.traffic_share = float(tables.traffic_share[member])
        self.conversion = float(tables.conversion[member])
        self.reference = np.exp(choice.reference_gain * tables.depth)  # product, price; F
        self.worth = tables.price - tables.salvage_value[:, None]  # product, price
        keeps = [float(np.exp(-1.0 / servers.patience_ticks)), servers.retry_share]
        if servers.is_event_by_event or any(cap != OPEN for cap in sale.admission_caps):
            keeps.append(1.0)  # in service or in the room nobody is lost from one tick to the next
        self.kept = 0.0 if servers.hard_cap else max(keeps)  # ψ
        self.watching = choice.watch_share if sale.price_levels > 1 else 0.0  # ω
        self.service = servers.cost / servers.service_rate  # of a visit, at least; ξ
        self.descendants = traffic.sharing_ratio / (1.0 - traffic.sharing_ratio)

    def check_conversion(self, frailty: Array) -> None:
        """InputError where the deepest discounts bring conversion to its cap: visitors would not be v(o) there."""
        cap = self.sale.tables.traffic.highest_conversion
        uplift = _uplifts(self.buyers * frailty[:, None])
        if (self.conversion * uplift ** (1.0 - self.traffic_share) > cap * (1.0 + 1e-9)).any():
            raise InputError(
                f"{self.sale.name!r}: conversion reaches its cap of {cap:g}; the bound is not proven for it"
            )

    def best_step(self) -> float:
        """That of ``_STEPS`` whose multipliers give the usual sale the least bound."""
        usual = np.ones(self.sale.products)
        start = self._fluid_multipliers(usual)
        return min(_STEPS, key=lambda step: self.value(usual, self._raised(start, step)))

    def multipliers(self, frailty: Array, *, step: float) -> Array:
        """Prices of stock (product,): the fluid plan's, raised by ``step``."""
        return self._raised(self._fluid_multipliers(frailty), step)

    def _raised(self, start: Array, step: float) -> Array:
        return start + step * (self.worth.max(axis=1).clip(0.0) - start)

    def _fluid_multipliers(self, frailty: Array) -> Array:
        """Prices of stock (product,) at which the fluid plan with reference factors just sells it, by bisection."""
        units = self.buyers * frailty[:, None] * self.paid * self.reference  # tick, segment, product, price
        stock = self.sale.stock.astype(np.float64)
        low, high = np.zeros(self.sale.products), self.worth.max(axis=1).clip(0.0)
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            gain = units * np.maximum(self.worth - middle[:, None], 0.0)
            best = gain.argmax(axis=3)[..., None]
            is_bought = np.take_along_axis(gain, best, axis=3) > 0.0
            sold = (np.take_along_axis(units, best, axis=3) * is_bought).sum(axis=(0, 1, 3))
            low, high = np.where(sold > stock, middle, low), np.where(sold > stock, high, middle)
        return high

    def value(self, frailty: Array, multipliers: Array) -> float:
        """The bound at ``multipliers`` (product,), currency."""
        margin = np.maximum(self.worth - multipliers[:, None], 0.0) * self.paid  # product, price; of a buyer
        buyers = self.buyers * frailty[:, None]
        gain = self.reference * margin
        highest = self._value_of_a_visit(buyers, gain)[..., None, None]  # R̄ of this tick and all later ones
        served = np.maximum(highest - self.service, 0.0)
        full = served / (1.0 - self.watching)  # ŵ
        listed = buyers[..., :1]
        brought = (self.watching + self.descendants) * full
        further = brought - self.service
        worth = buyers * (gain if self.sale.products == 1 else np.maximum(gain, highest))
        share, shown = self.traffic_share, further / self.conversion
        now = np.min(  # each tangent of v bounds what a tick earns; where visits cost more than they bring, v >= e does
            [
                (worth + shown * np.where(shown >= 0.0, _tangent(buyers, listed, share, at=at), listed))
                .max(axis=3)
                .sum(axis=2)
                for at in (_TANGENTS if self.sale.price_levels > 1 else (1.0,))
            ],
            axis=0,
        )
        people = listed.sum(axis=(2, 3)) / self.conversion  # tick, segment; e
        attracted = people * np.exp(self._attractions(buyers))
        later = (self.kept * served + brought)[..., 0, 0] * attracted
        best = np.maximum(now, later)  # tick, segment; B*
        total = self._with_goodwill(best, buyers) + self._with_pushes(best, buyers)
        total += self._of_the_family_that_comes_anyway(people, full[..., 0, 0])
        return total + self._of_scarcity(gain) + self._of_stock(multipliers)

    def _value_of_a_visit(self, buyers: Array, gain: Array) -> Array:
        """R̄ (tick, segment): the largest in that tick and all later ones, by Dinkelbach's iteration.

        With one product R·v <= u·F·m⁺ as it stands. With more, the first R̄ is the largest F·m⁺, for a visit makes one
        buyer at most; each round shows a smaller one.
        """
        listed = buyers[..., :1]
        uplift = np.divide(buyers, listed, out=np.ones_like(buyers), where=listed > 0.0)
        visits = listed * uplift**self.traffic_share / self.conversion
        highest = np.full(buyers.shape[:2], gain.max())
        for _ in range(1 if self.sale.products == 1 else _REFINEMENTS):
            held = gain if self.sale.products == 1 else np.maximum(gain, highest[..., None, None])
            shown = _largest_ratios(buyers * held, visits)
            highest = np.minimum(highest, np.flip(np.maximum.accumulate(np.flip(shown, axis=0), axis=0), axis=0))
        return highest

    def _with_goodwill(self, best: Array, buyers: Array) -> float:
        """Step 6 for ``best`` (tick, segment)."""
        traffic = self.sale.tables.traffic
        decay = 0.5 ** (1.0 / traffic.goodwill_half_life)
        reach = traffic.goodwill_share * self._attractions(buyers).max(axis=0)  # segment; γ·ā
        rises = best[0] + np.maximum(np.diff(best, axis=0), 0.0).sum(axis=0)
        summed = best.sum(axis=0)
        by_parts = np.cosh(reach) * summed + np.sinh(reach) / (1.0 - decay) * rises
        return float(np.minimum(np.exp(reach) * summed, by_parts).sum())

    def _attractions(self, buyers: Array) -> Array:
        """Largest log uplift of visitors in each tick (tick, segment)."""
        return np.asarray(self.traffic_share * np.log(np.maximum(_uplifts(buyers), 1.0)))

    def _with_pushes(self, best: Array, buyers: Array) -> float:
        """Each push at its best tick, as if it were alone."""
        traffic = self.sale.tables.traffic
        if traffic.push_budget == 0:
            return 0.0
        decay = 0.5 ** (1.0 / traffic.push_half_life)
        reach = np.exp(traffic.goodwill_share * self._attractions(buyers).max(axis=0))
        largest, after = 0.0, 0.0
        for earned in np.flip(best @ reach):
            after = float(earned) + decay * after
            largest = max(largest, after)
        return traffic.push_budget * traffic.push_uplift * largest

    def _of_the_family_that_comes_anyway(self, visits: Array, full: Array) -> float:
        """Step 5: what sharing adds to the exogenous ``visits`` (tick, segment), less what was counted for them."""
        traffic = self.sale.tables.traffic
        if traffic.sharing_ratio == 0.0 or not traffic.has_exogenous_visitors:
            return 0.0
        decay = float(np.exp(-1.0 / traffic.sharing_delay))
        ratio = traffic.sharing_ratio * (1.0 - decay)
        usual, debt, variance = np.zeros((3, visits.shape[1]))
        extra = -self.descendants * float((full * visits).sum())
        for mean, worth in zip(visits, full, strict=True):
            immigrants = mean - usual - debt
            debt, immigrants = np.maximum(0.0, -immigrants), np.maximum(0.0, immigrants)
            people = immigrants + usual
            extra += float((worth * (np.maximum(people - mean, 0.0) + 0.5 * np.sqrt(variance))).sum())
            variance = (decay + ratio) ** 2 * variance + ratio**2 * people
            usual = decay * usual + ratio * people
        return extra

    def _of_scarcity(self, gain: Array) -> float:
        """Step 7."""
        tables = self.sale.tables
        choice, stock = tables.choice, self.sale.stock.astype(np.float64)
        failure = tables.stock.payment_failure
        lots = tables.stock.lots * tables.lot_units
        releases = tables.wave_tick.shape[0] + tables.stock.lots
        last = releases * choice.scarcity_threshold * stock + failure / (1.0 - failure + 1e-300) * (stock + lots)
        if tables.failures.ticks[PAYMENT_FAILS] > 0:
            last = stock + lots
        owed = choice.scarcity_cue / (1.0 + choice.scarcity_cue) * np.minimum(last, stock + lots)
        return float((owed * gain.max(axis=1) / self.paid).sum())

    def _of_stock(self, multipliers: Array) -> float:
        """Step 1: what the stock is worth at ``multipliers``, less what it has cost."""
        tables = self.sale.tables
        net = multipliers + tables.salvage_value - tables.unit_cost
        lots = tables.stock.lots * tables.lot_units
        return float((net * self.sale.stock + np.maximum(net, 0.0) * lots).sum())


def _uplifts(buyers: Array) -> Array:
    """Largest o/L of ``buyers`` (tick, segment, product, price), (tick, segment); 1 where nobody buys at list price."""
    offered, listed = buyers.max(axis=3).sum(axis=2), buyers[..., 0].sum(axis=2)
    return np.divide(offered, listed, out=np.ones_like(offered), where=listed > 0.0)


def _tangent(buyers: Array, listed: Array, share: float, *, at: float) -> Array:
    """What the tangent of (Σ buyers)^share·(Σ listed)^(1 - share) at the uplift ``at`` gives each product."""
    return np.asarray(at ** (share - 1.0) * (share * buyers + (1.0 - share) * at * listed))


def _largest_ratios(worth: Array, visits: Array) -> Array:
    """max over menus of Σ_p worth/Σ_p visits (tick, segment); both (tick, segment, product, price)."""
    ratio = np.zeros(worth.shape[:2])
    for _ in range(_ROUNDS):
        best = (worth - ratio[..., None, None] * visits).argmax(axis=3)[..., None]
        top = np.take_along_axis(worth, best, axis=3).sum(axis=(2, 3))
        bottom = np.take_along_axis(visits, best, axis=3).sum(axis=(2, 3))
        found = np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0.0)
        if (found <= ratio * (1.0 + 1e-12)).all():
            break
        ratio = np.maximum(ratio, found)
    return ratio * (1.0 + 1e-9)
