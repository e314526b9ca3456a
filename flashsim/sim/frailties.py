"""What a sale draws of its World when it opens, and keeps: the member it is in, and its frailties.

    member m         one of those that a sale may draw, each as likely
    F ~ Gamma        mean 1, variance of the member: the level of demand that all products share
    f_p ~ Gamma      mean 1, variance of the member and the product: a product's own
    frailty of p     F·f_p, a factor on its expected units

Without them simulated sales would be too alike, and a sale would have nothing to teach while it lasts.

Source: Vaupel, Manton & Stallard (1979), Demography 16(3). Left out: frailties that change during a sale.
"""

import numpy as np
from numpy.typing import NDArray

from flashsim.sim.cache import compiled_inline
from flashsim.sim.samplers import Workspace, gamma_factor, write_normal
from flashsim.sim.streams import COMMON_FRAILTY, MEMBER, ONLY, PRODUCT_FRAILTY, write_uniforms


@compiled_inline
def draw_member(
    members: NDArray[np.int64],
    opening: NDArray[np.bool_],
    keys: NDArray[np.uint64],
    member: NDArray[np.int64],
    work: Workspace,
) -> None:
    """Write ``member`` (lane), one of ``members``, in every lane of ``opening``; ``keys`` (lane) of the first tick."""
    write_uniforms(keys, MEMBER, ONLY, work.uniform)
    for lane in range(member.shape[0]):
        if opening[lane]:
            place = np.int64(work.uniform[lane] * np.float64(members.shape[0]))
            member[lane] = members[place]


@compiled_inline
def draw_frailties(
    common_variance: NDArray[np.float64],
    product_variance: NDArray[np.float64],
    opening: NDArray[np.bool_],
    member: NDArray[np.int64],
    keys: NDArray[np.uint64],
    frailty: NDArray[np.float64],
    work: Workspace,
) -> None:
    """Write ``frailty`` (product, lane) in every lane of ``opening``; ``keys`` (lane) of the first tick.

    ``common_variance`` (member), ``product_variance`` (member, product).
    """
    products, lanes = frailty.shape
    write_uniforms(keys, COMMON_FRAILTY, ONLY, work.uniform)
    write_normal(work.uniform, work.normal, work)
    for lane in range(lanes):
        if opening[lane]:
            common = gamma_factor(work.normal[lane], common_variance[member[lane]])
            for product in range(products):
                frailty[product, lane] = common
    for product in range(products):
        write_uniforms(keys, PRODUCT_FRAILTY, product, work.uniform)
        write_normal(work.uniform, work.normal, work)
        for lane in range(lanes):
            if opening[lane]:
                frailty[product, lane] *= gamma_factor(work.normal[lane], product_variance[member[lane], product])
