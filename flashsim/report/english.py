"""Every English word of a report. Another language needs another set of dicts with the same keys and braces."""

from flashsim.evaluation.evidence.decision_words import DECISION_TEXT, HEADLINE_TEXT
from flashsim.evaluation.verdict import VERDICT_TEXT

HEADLINES = HEADLINE_TEXT
PASSAGES: dict[str, str] = {
    **DECISION_TEXT,
    **VERDICT_TEXT,
    "basis": "Every policy played the same {sales} sales in {worlds} worlds.",
    "chance": (
        "On a single sale {learner} beats {baseline} with a probability of {probability} ({interval}; ties count half)."
    ),
    "risk": (
        "In the worst {share} of its sales {policy} makes a {kpi} of {amount} on average, {difference} against the "
        "worst of {baseline} ({interval})."
    ),
    "worlds": (
        "{learner} is ahead of {baseline} in {better} of {worlds} worlds. Leaving out any one world, the "
        "difference would lie between {least} and {most}: {decides}."
    ),
    "worlds one": "All sales come from one world, so nothing can be said about other worlds.",
    "one world decides": "one world decides its sign, so read the verdict with care",
    "no world decides": "no single world decides its sign",
    "money": "Of the profit difference of {total} a sale to {baseline}, {terms}.",
    "money term": "{label} makes {amount}",
    "conduct depth": (
        "Average discount on the shelf: {policy} shows {first} in the first third of the sale, {middle} in the middle "
        "and {last} in the last third."
    ),
    "conduct servers": "It runs {first}, {middle} and {last} servers on average in these three parts.",
    "cause": (
        "{label} under {policy}: {share} of the visits counted are lost in minutes with {cause}; {time_share} of them "
        "fall between minute {first} and minute {last}."
    ),
    "levels": "{policy} {own}, {over} {its}",
    "guardrail most": "{label} {mean}, at most {limit}",
    "guardrail least": "{label} {mean}, at least {limit}",
    "guardrail": "{label} of {policy} is {mean} ({interval}) against a limit of {limit}: {status}.",
}
"""Sentences with numbers; a cell of a table fills each brace."""

PAGE: dict[str, str] = {
    "language": "en",
    "badge": "Simulated sales",
    "badge_text": "on demand learned from data; not the result of a live test",
    "contents": "On this page",
    "verdict": "Decision",
    "the_sale": "The sale",
    "money": "Money",
    "who": "Who is compared",
    "sale_products": "Products of the sale",
    "other_policies": "The same of all other policies",
    "other_kpis_caption": "Every key figure under the other policies",
    "distribution_caption": "Spread of the sales: line, nine tenths; bar, the middle half; dot, the middle sale",
    "losses_caption": "Visits lost a minute and sale, and why",
    "causes_caption": "Visits lost a sale: failed, given up, or slower than the limit; when and why",
    "visits_lost": "Lost a sale",
    "cause": "Most frequent cause",
    "cause_share": "Its share",
    "lost_between": "Minutes that hold nine tenths",
    "chances_caption": "How often it happens",
    "other_chances_caption": "How often it happens under the other policies",
    "other_risk_caption": "Bad sales of the other policies",
    "outcome loss": "Loss",
    "outcome a product sold out by half": "A product sold out by half time",
    "outcome a product sold out": "A product sold out",
    "outcome all sold out by half": "All sold out by half time",
    "outcome all sold out": "All sold out",
    "practice": "today's practice",
    "decisions": "What is decided in which state",
    "difference": "Difference a sale",
    "chance": "Chance that a sale improves",
    "bad_sales": "The worst sales",
    "guardrails_card": "Guardrails",
    "all_kept": "all kept",
    "worlds_ahead": "worlds in which it is ahead of",
    "over_practice": "More than today, a sale",
    "over_nearest_rule": "More than the nearest rule",
    "run": "Run",
    "against": "against",
    "interval": "interval",
    "guardrails": "Guardrails",
    "guardrails_caption": "Every guardrail under every policy: mean, interval, status",
    "kpis_caption": "Every key figure under every policy",
    "terms_caption": "Terms of profit a sale, costs negative",
    "members_caption": "The learner in each world",
    "guardrails_text": (
        "A guardrail is kept when the whole interval of a policy's mean is within the limit, broken when all of it is "
        "beyond, else open."
    ),
    "limit": "Limit",
    "reason": "Why this limit",
    "kept": "kept",
    "broken": "broken",
    "open": "open",
    "kpis": "Key figures",
    "kpis_text": (
        "Mean of a sale, with its interval beneath; of values that are too skewed an end cannot be told. ▲ better, "
        "▼ worse than the best baseline on the same sales; ≈ cannot be told apart; △ differs, without a better side. "
        "These marks are single comparisons, not corrected for their number: only the pairs below decide the verdict."
    ),
    "kpi": "Key figure",
    "definitions": "How each figure is defined",
    "formula": "Formula, a sale",
    "unit": "Unit",
    "better": "Better",
    "leads": "What the decision rests on",
    "leads_text": (
        "A rule that was fixed beforehand decides. A policy runs the sale when its lead over today's practice, and "
        "over every rule where it is learned, is above what is worthwhile after correction for all leads of this "
        "table, in the mean and in enough worlds, and every guardrail is kept."
    ),
    "leads_caption": "Lead of every policy over today's practice, and of every learner over every rule",
    "over": "Over",
    "lead": "Lead a sale",
    "worlds_led": "Worlds ahead",
    "tells_caption": "What would settle the open questions",
    "tell": "What would tell",
    "tell sales": "more simulated sales",
    "tell worlds": "more worlds",
    "tell data": "real data",
    "tell nothing": "nothing: too near to the mark",
    "needed": "Needed in all",
    "field": "What the worlds differ in",
    "explains": "Explains",
    "pairs": "Paired differences",
    "pairs_text": (
        "Every policy met the same visitors, worlds and chances, so that differences are taken sale by sale. Every "
        "learner is compared with every baseline, and a claim counts only after correction for their number: the best "
        "baseline is found on these same sales, so beating it alone would prove too little."
    ),
    "forest_caption": "Difference of every policy to the best baseline; an arrow: the end cannot be told",
    "pairs_caption": "Every learner against every baseline",
    "learner": "Learner",
    "baseline": "Baseline",
    "relative": "Relative",
    "p": "p, corrected",
    "detectable": "Detectable",
    "skewness_over_worlds": "Skewness over worlds",
    "ahead": "Worlds ahead (difference without any one)",
    "finding": "Finding",
    "finding better": "better",
    "finding worse": "worse",
    "finding not separable": "not separable",
    "finding differs": "differs",
    "bridge": "Where the money comes from",
    "bridge_caption": "From the best baseline's profit to the learner's, a sale",
    "term": "Term of profit",
    "conduct": "What each policy does when",
    "course_caption": "Course of the sale under {policies}: mean of all sales; dotted, the first sale alone",
    "depth_caption": "Discount of every product over the sale, mean over all sales; hatched beyond the data",
    "phases_caption": "First, middle and last third of the sale",
    "series": "Series",
    "policy": "Policy",
    "first": "First third",
    "middle": "Middle third",
    "last": "Last third",
    "products": "Products",
    "products_caption": "Mean of a sale by product",
    "product": "Product",
    "quantity paid": "Units sold",
    "quantity revenue": "Revenue",
    "quantity depth": "Discount",
    "quantity leftover": "Left over",
    "worlds": "World by world",
    "worlds_caption": "Difference in each world; intervals see only the sales of that world",
    "world": "World",
    "sales": "Sales",
    "without": "Overall without it",
    "risk_caption": "Bad sales of each policy",
    "tail_mean": "Mean of the worst sales",
    "to_best": "Difference to the best baseline",
    "worst": "Worst sale",
    "median": "Middle sale",
    "data": "Data and models",
    "demand_scores": "Demand model on weeks that it never saw",
    "dropped_rows": "Rows left out of the data, by reason",
    "assumptions": "Assumptions that enter the simulation",
    "not_identified": "not identified by the data",
    "identified": "estimated from the data",
    "fidelity": "How true to life the simulation is",
    "fidelity_caption": "Fidelity card: weeks that the World had not seen, simulated and as they happened",
    "fidelity_products_caption": "The products of this sale on those weeks; too few days for marks of their own",
    "fidelity_promotions_caption": "Past promotions, each predicted from what was known before its first day; what can "
    "be reached is the same score where the model's own draws take the place of what happened",
    "ceiling": "Can be reached",
    "fidelity_passed": "The World passes all {count} lines of its fidelity card.",
    "fidelity_failed": "The World fails {failed} of the {count} lines of its fidelity card: {names}.",
    "fidelity_narrow": "Not for sure: the intervals of {names} reach beyond their marks.",
    "fidelity_basis": "{what} {weeks} weeks from {first_day}, {products} products, {draws} simulations; intervals "
    "cover 90 %.",
    "fidelity_frozen": "Without following levels from week to week, sales would have been {frozen} of those expected.",
    "fidelity_unknown": "What these data do not identify",
    "fidelity_unjudged": "None of the {count} lines of the World's fidelity card could be judged: {why}.",
    "fidelity_unjudged_line": "Not judged: {names}: {why}.",
    "fidelity_unjudged_caption": "Fidelity card: what is asked of a World, and the marks; here no answer is known",
    "fidelity_fell_back": "What was taken, wholly or partly, from another World",
    "fidelity_field": "{names}, from the World '{world}': {why}",
    "fidelity_missing": "This World has no fidelity card.",
    "uncalibrated": "Uncalibrated World. {world} must not be taken for the real shop: {reasons}.",
    "question": "Question",
    "happened": "Happened",
    "simulated": "Simulated",
    "mark": "Mark",
    "passed": "passes",
    "narrow": "passes, its interval not",
    "failed": "fails",
    "unjudged": "not judged",
    "pulled_forward": "Pulled-forward demand, by household: {sentence}",
    "extrapolation": "Beyond the data",
    "extrapolation_none": "No policy leaves the range that the data support.",
    "deep": "{policy} discounts {product} to {deepest} on average at its deepest; data support {depth}.",
    "not_supplied": "Not supplied with this evaluation.",
    "method": "How the statistics are made",
    "method_text": (
        "The estimate is the mean of the worlds' means. Intervals come from a bootstrap that draws worlds and, within "
        "them, sales, corrected for the small number of worlds (Davison & Hinkley 1997, section 3.8) and stretched to "
        "Student's law; with 8 worlds, simulation finds 94 to 99 % coverage where 95 % is claimed. The verdict uses "
        "Holm's correction (1979). Detectable is the true difference that would be found four times in five."
    ),
    "provenance": "Where these numbers come from",
    "item": "Item",
    "value": "Value",
    "setting": "Scenario",
    "statistics": "Statistics",
    "tables_text": "Each number in the text leads to its cell; every table is also a CSV and a JSON file in",
    "training": "Training",
    "possible": "Who earns what, and how much of what was possible",
    "possible_text": (
        "Of the first sales of this evaluation alone, as many as the heading says: these profits differ from the "
        "means of all sales above. No policy can earn more than the proven bound on average; it may lie "
        "far above what can be reached. The best plan known in hindsight is the most that a search with full knowledge "
        "of a sale, or any policy here, has earned in it: luck is part of it."
    ),
    "over_trainings": "What holds over all trainings",
    "over_trainings_text": (
        "The verdict is on single networks. Each learner was trained several times, and with other seeds another "
        "network comes out. These are means over its trainings; their intervals count trainings, worlds and sales."
    ),
    "responses": "What each learner decides when",
    "responses_text": (
        "Asked at observations of sales that it played, with one thing set and all that follows from it moved along: "
        "stock, level of visitors, or what was measured of the servers in the last minute. Lines are means, bands hold "
        "the middle four fifths. A dot says how much of its sales really was there; without a dot it is extrapolated. "
        "These are answers of a policy, not effects of a discount."
    ),
    "responses_caption": "Discount and servers of {policy} by time and stock left, utilization and visitors",
    "simulated_steps": "Simulated steps of this evaluation",
    "role": "Role",
    "role learner": "learner",
    "role baseline": "baseline",
    "role reference": "reference",
    "best_baseline": "best baseline",
    "policies_caption": "Who took part",
    "note": "What it is",
}
"""Headings, labels and fixed texts of the page."""

SERIES: dict[str, str] = {
    "visitors": "Visitors a tick",
    "depth": "Discount on the shelf",
    "servers_online": "Servers online",
    "utilization": "Server utilization",
    "latency_p95_s": "95th percentile of latency (s)",
    "paid": "Units paid a tick",
    "stock_left_share": "Stock left",
    "backlog": "Visits waiting",
    "errors": "Errors a tick",
}
"""Names of the series of the course, in the order shown."""

FIGURES: dict[str, str] = {
    "difference": "difference in {kpi} a sale ({unit})",
    "level": "{kpi} of a sale ({unit})",
    "error_share": "Failed",
    "abandonment_share": "Gave up",
    "p95_latency_s": "Too slow",
    "distribution_alt": "Spread of {kpi} over the sales of each of {count} policies: nine tenths, middle half, middle.",
    "losses_alt": "Visits lost in each minute by cause, for failed, given up and slow visits.",
    "tick": "minutes since the opening",
    "world": "world {member}",
    "forest_alt": "Forest plot: difference in {kpi} of {count} policies to {baseline}, with {confidence} intervals.",
    "bridge_alt": "Waterfall from the profit of {baseline} to that of {policy} through revenue, goods, servers, "
    "penalties and stock left.",
    "worlds_alt": "Difference in {kpi} of {policy} to {baseline} in each of {count} worlds, with intervals.",
    "course_alt": "Small charts of the mean course of the sale under each policy: {series}.",
    "depth_alt": "Heat map of the mean discount of every product over the sale, one panel for each of: {policies}.",
    "discount": "Discount",
    "servers": "Servers ordered",
    "by time": "time left",
    "by stock": "stock left",
    "by utilization": "utilization, last minute",
    "by visitors": "visitors, times the forecast",
    "responses_alt": "What {policy} decides: maps of discount and servers against time and stock left, and lines "
    "against utilization and visitors where it sees them.",
}
"""Words in figures, and their text descriptions for people who cannot see them."""

CAUSES: dict[str, str] = {
    "failure": "failing servers",
    "collapse": "collapsed servers",
    "servers": "too few servers",
    "doors": "doors held closed",
    "other": "visits close together",
}
"""Why visits are lost (``evaluation.outcomes.causes``)."""
