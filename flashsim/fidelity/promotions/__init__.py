"""The back-test of past promotions: each predicted from what was known before its first day, then compared."""

from flashsim.fidelity.promotions.episodes import Outcome, Prediction
from flashsim.fidelity.promotions.scores import Scored, judge, not_judged, score_outcomes
from flashsim.fidelity.promotions.shelf import FIRST_SCORED, MODELLED_PRODUCTS, shelf_outcomes
from flashsim.fidelity.promotions.shop import judge_shop, shop_outcomes

__all__ = [
    "FIRST_SCORED",
    "MODELLED_PRODUCTS",
    "Outcome",
    "Prediction",
    "Scored",
    "judge",
    "judge_shop",
    "not_judged",
    "score_outcomes",
    "shelf_outcomes",
    "shop_outcomes",
]
