"""One offline page from one comparison, with the same numbers as Markdown, CSV and JSON beside it.

The page refers to nothing outside itself: style and figures are inlined. The same comparison and context give the same
bytes. The template engine escapes every name from the data.
"""

import base64
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import jinja2
import pandas as pd
from matplotlib.figure import Figure

from flashsim.errors import InputError
from flashsim.evaluation.comparison import Comparison
from flashsim.evaluation.decision import Status, in_terms_of_practice
from flashsim.evaluation.kpis import find_kpi, show
from flashsim.files import write_page
from flashsim.report import figures, more_figures
from flashsim.report.decision_cards import DecisionCards
from flashsim.report.decision_grids import leads_grid, tells_grid
from flashsim.report.english import CAUSES, FIGURES, HEADLINES, PAGE, PASSAGES, SERIES
from flashsim.report.fidelity import fidelity_grids, fidelity_passages, fidelity_tables, uncalibrated_passage
from flashsim.report.grids import Shelf, given_grid, plain
from flashsim.report.narrative import MarkdownText, Narrator, as_markdown
from flashsim.report.response_figures import responses
from flashsim.settings import names_hint
from flashsim.shown import brief

TEMPLATES = Path(__file__).parent / "templates"
GIVEN_TABLES = (
    "sale_products",
    "demand_scores",
    "dropped_rows",
    "assumptions",
    "training",
    "possible",
    "over_trainings",
)
PICTURED_TABLES = ("response_map", "response_curves")
MOST_DEPTH_PANELS = 4
DRAWN_SERIES = ("visitors", "depth", "servers_online", "utilization", "latency_p95_s", "stock_left_share")
"""All others are in the table of the course."""
MOST_SHOWN = 4
"""Policies that the first table of key figures and the course of the sale show; the others stand in folded tables."""


@dataclass(frozen=True)
class ReportContext:
    """What a report says beside the comparison. Everything is optional; the report says what is missing.

    Tables are DataFrames or lists of dicts with equal keys.
    """

    title: str = "Which policy should run the sale?"
    scenario: Mapping[str, Any] = field(default_factory=dict)
    """What was sold, when and with which resources; label -> value."""
    sale_products: Any = None
    """Table of the products: stock, prices, costs."""
    minutes_per_tick: float = 1.0
    policy_notes: Mapping[str, str] = field(default_factory=dict)
    """Policy -> one line that says what it is."""
    notices: Sequence[str] = ()
    """Sentences for the top of the page, such as the limits on the use of the data."""
    demand_scores: Any = None
    """Table of the demand model's scores on held-out weeks."""
    dropped_rows: Any = None
    """Table of rows left out of the data, by reason."""
    assumptions: Any = None
    """Table; a boolean column ``identified`` says whether the data support the assumption."""
    training: Any = None
    """Table of how the learners were trained (steps; seconds are written elsewhere)."""
    possible: Any = None
    """Table of what every policy earned, and of the share of the possible profit."""
    over_trainings: Any = None
    """Table of results over all trainings of each learner that was trained several times."""
    response_map: Any = None
    """Table of what each learner decides depending on time and stock left (``evaluation.response_maps``), with a column
    ``policy``."""
    response_curves: Any = None
    """The same depending on utilization and visitors."""
    extrapolations: Sequence[str] = ()
    """Sentences about where the simulation leaves the range that the data support."""
    supported_depth: float | None = None
    """Deepest discount that the data support; deeper mean depths are flagged."""
    world: str = ""
    """Name of the World; an uncalibrated World has a name that says so."""
    uncalibrated_because: Sequence[str] = ()
    """Why the World counts as uncalibrated; empty when its fidelity card passes."""
    fidelity: Mapping[str, Any] | None = None
    """The World's fidelity card, as its provenance holds it."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Command, config, versions, seeds, checksums; may be nested. A text of several lines is shown unchanged."""


@dataclass(frozen=True)
class Picture:
    """A figure ready for the page."""

    uri: str
    narrow_uri: str
    """The same for a narrow screen."""
    alt: str
    caption: str


def write_report(folder: Path, comparison: Comparison, *, context: Mapping[str, Any] | None = None) -> Path:
    """Write ``report.html``, ``report.md`` and ``tables/`` into ``folder`` and return the path of the page.

    ``context`` holds fields of ``ReportContext`` by name. Only these three are replaced; other files in the folder
    stay. InputError when the context has an unknown key or a misshapen table, or when the folder cannot be written.
    """
    checked = report_context(context or {})
    given = {name: given_table(name, getattr(checked, name)) for name in GIVEN_TABLES}
    extra = {name: table for name, table in given.items() if table is not None}
    answers = {name: given_table(name, getattr(checked, name)) for name in PICTURED_TABLES}
    pictured = {name: table for name, table in answers.items() if table is not None}
    card = fidelity_tables(checked.fidelity)
    view = page_view(comparison, checked, given=extra, pictured=pictured)
    html, markdown = render_html(view), render_markdown(view)
    folder = Path(folder)
    dataclasses.replace(comparison, tables=comparison.tables | extra | pictured | card).save(folder / "tables")
    write_page(folder / "report.md", markdown)
    write_page(folder / "report.html", html)
    return folder / "report.html"


def report_context(given: Mapping[str, Any]) -> ReportContext:
    """Check the keys of a context. InputError names the nearest known key."""
    known = [entry.name for entry in dataclasses.fields(ReportContext)]
    for name in given:
        if name not in known:
            raise InputError(f"report context: unknown key {brief(name)}; {names_hint(name, known)}")
    return ReportContext(**given)


def given_table(name: str, rows: Any) -> pd.DataFrame | None:
    """A table of the context as a DataFrame with a plain index; None when it is missing or empty."""
    if rows is None or len(rows) == 0:
        return None
    if isinstance(rows, pd.DataFrame):
        return rows.reset_index(drop=True)
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) and row.keys() == rows[0].keys() for row in rows):
        raise InputError(f"report context: {name} must be a DataFrame or a list of dicts with equal keys")
    return pd.DataFrame(rows)


def policy_order(comparison: Comparison) -> list[str]:
    """The learner and baseline of the verdict, the best baseline, today's practice, then all others, best first."""
    verdict, kpis = comparison.verdict, comparison.tables["kpis"]
    first = [verdict.learner, comparison.settings["best_baseline"], verdict.baseline]
    mine = kpis[kpis["kpi"] == verdict.kpi].sort_values(
        "mean", ascending=find_kpi(verdict.kpi).direction == "lower", kind="stable"
    )
    rest = [name for name in (comparison.decision.practice, *mine["policy"]) if name in set(mine["policy"])]
    return list(dict.fromkeys([*first, *rest]))


def page_view(
    comparison: Comparison,
    context: ReportContext,
    *,
    given: Mapping[str, pd.DataFrame],
    pictured: Mapping[str, pd.DataFrame],
) -> dict[str, Any]:
    """Everything that the templates need, as passages, grids and pictures."""
    order = policy_order(comparison)
    narrator = Narrator(comparison, texts=PASSAGES, headlines=HEADLINES, causes=CAUSES)
    shelf = Shelf(comparison, page=PAGE, order=order)
    unit = find_kpi(comparison.verdict.kpi).unit
    grids = {
        "policies": shelf.policies(notes=context.policy_notes),
        "guardrails": shelf.guardrails(),
        "kpis": shelf.kpis(order[:MOST_SHOWN], "kpis"),
        "other_kpis": shelf.kpis(order[MOST_SHOWN:], "other_kpis"),
        "chances": shelf.chances(order[:MOST_SHOWN], "chances"),
        "other_chances": shelf.chances(order[MOST_SHOWN:], "other_chances"),
        "causes": shelf.causes(labels=CAUSES, minutes=context.minutes_per_tick),
        "definitions": shelf.definitions(),
        "leads": leads_grid(shelf),
        "tells": tells_grid(shelf),
        "pairs": shelf.pairs(),
        "bridge": shelf.bridge(),
        "phases": shelf.phases(series=SERIES),
        "products": shelf.products(),
        "members": shelf.worlds(unit=unit),
        "risk": shelf.risk(order[:MOST_SHOWN], "risk", unit=unit),
        "other_risk": shelf.risk(order[MOST_SHOWN:], "other_risk", unit=unit),
    }
    answers = response_pictures(pictured)
    grids |= {name: given_grid(name, table, caption=PAGE[name], page=PAGE) for name, table in given.items()}
    return {
        "t": PAGE,
        "context": context,
        "verdict": comparison.verdict,
        "decision": comparison.decision,
        "narrator": narrator,
        "cards": DecisionCards(narrator),
        "unit": unit,
        "lead": comparison.verdict.learner,
        "rival": comparison.settings["best_baseline"],
        "notes": [(name, context.policy_notes.get(name, "")) for name in order],
        "causes": narrator.causes(minutes=context.minutes_per_tick),
        "conduct": [*narrator.conduct(shelf.lead), *narrator.conduct(shelf.rival)],
        "statuses": guardrail_counts(comparison),
        "grids": {name: grid for name, grid in (grids | fidelity_grids(context.fidelity)).items() if grid.rows},
        "fidelity": fidelity_passages(context.fidelity),
        "uncalibrated": uncalibrated_passage(context.world, context.uncalibrated_because),
        "pictures": pictures(comparison, context, order=order) | answers,
        "responses": list(answers),
        "extrapolations": [*context.extrapolations, *deep_discounts(comparison, context)],
        "practice": comparison.decision.practice,
        "scenario": flat(context.scenario),
        "statistics": flat(comparison.settings),
        "provenance": flat(context.provenance),
    }


def guardrail_counts(comparison: Comparison) -> dict[str, int]:
    """How many guardrails the policy of the decision keeps, breaks, or may break, as they count there."""
    decision = comparison.decision
    guards = decision.candidate.guards if decision.candidate is not None else ()
    counted = [guard.status for guard in in_terms_of_practice(guards, decision.relative_guardrails)]
    return {status: counted.count(status) for status in get_args(Status)}


def pictures(comparison: Comparison, context: ReportContext, *, order: Sequence[str]) -> dict[str, Picture]:
    """Draw the figures for which the tables hold data, each for wide and for narrow screens."""
    tables, settings, verdict = comparison.tables, comparison.settings, comparison.verdict
    kpi, currency, rival, lead = find_kpi(verdict.kpi), settings["currency"], settings["best_baseline"], verdict.learner
    unit = currency if kpi.unit == "currency" else kpi.unit
    shown = {"kpi": kpi.label.lower(), "unit": unit}
    words = FIGURES | {name: FIGURES[name].format(**shown) for name in ("difference", "level")}
    names = shown | {"baseline": rival, "policy": lead, "confidence": f"{verdict.confidence * 100:g} %"}
    rows = tables["differences"].query("kpi == @kpi.name").set_index("policy", drop=False)
    rows = rows.loc[[name for name in order if name in rows.index]]
    colors = figures.palette(order[:MOST_SHOWN])
    timing = {"minutes": context.minutes_per_tick, "words": words}
    members = tables["members"].query("policy == @lead")
    overall = {name: float(rows.loc[lead, name]) for name in ("difference", "low", "high")}  # type: ignore[arg-type]
    profile = tables["profile"]
    present = set(profile["series"])
    series = {name: label for name, label in SERIES.items() if name in present and name in DRAWN_SERIES}
    panels = order[:MOST_DEPTH_PANELS]
    draw: dict[str, tuple[Callable[..., Figure], tuple[Any, ...], dict[str, Any]]] = {
        "forest": (figures.forest, (rows,), {"colors": colors, "unit": kpi.unit, "currency": currency, "words": words}),
        "distribution": (
            more_figures.distribution,
            (tables["distribution"],),
            {"order": order, "colors": colors, "words": words},
        ),
        "bridge": (
            figures.bridge,
            (tables["bridge"].query("policy == @lead"),),
            {"baseline": rival, "policy": lead, "currency": currency},
        ),
        "worlds": (figures.worlds, (members,), {"overall": overall, "words": words}),
        "course": (
            figures.course,
            (profile,),
            {"series": series, "policies": panels, "colors": colors, "one": tables.get("course"), **timing},
        ),
    }
    if "losses" in tables:
        draw["losses"] = (
            more_figures.losses,
            (tables["losses"],),
            {"policies": panels[:3], "labels": CAUSES, **timing},
        )
    if "depth" in present:
        depth = {"policies": panels, "supported": context.supported_depth, **timing}
        draw["depth"] = (figures.depth_map, (profile,), depth)
    counts = {"forest": len(rows), "worlds": len(members), "distribution": len(order)}
    lists = {"series": ", ".join(series.values()).lower(), "policies": ", ".join(panels)}
    return {
        name: drawn(
            *chosen,
            alt=FIGURES[f"{name}_alt"].format(count=counts.get(name, 0), **lists, **names),
            caption=PAGE[f"{name}_caption"].format(policies=", ".join(panels)),
        )
        for name, chosen in draw.items()
    }


def drawn(
    draw: Callable[..., Figure],
    arguments: tuple[Any, ...],
    options: Mapping[str, Any],
    *,
    alt: str,
    caption: str,
) -> Picture:
    """A figure in its two widths."""
    wide, narrow = (
        data_uri(figures.render(draw, *arguments, width=width, **options)) for width in (figures.WIDE, figures.NARROW)
    )
    return Picture(wide, narrow, alt, caption)


def response_pictures(pictured: Mapping[str, pd.DataFrame]) -> dict[str, Picture]:
    """One picture for each policy of the response tables: what it decides in which state."""
    if "response_map" not in pictured:
        return {}
    stock_map = pictured["response_map"]
    curves = pictured.get("response_curves", pd.DataFrame({"policy": []}))
    found = {}
    for place, policy in enumerate(dict.fromkeys(stock_map["policy"])):
        mine = tuple(table[table["policy"] == policy] for table in (stock_map, curves))
        alt, caption = (text.format(policy=policy) for text in (FIGURES["responses_alt"], PAGE["responses_caption"]))
        found[f"responses_{place}"] = drawn(responses, mine, {"words": FIGURES}, alt=alt, caption=caption)
    return found


def data_uri(svg: str) -> str:
    """A figure as a data address that contains the figure itself."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode("utf-8")).decode("ascii")


def deep_discounts(comparison: Comparison, context: ReportContext) -> list[str]:
    """A sentence for every policy whose mean depth on some product exceeds what the data support."""
    profile = comparison.tables["profile"]
    if context.supported_depth is None:
        return []
    deep = profile[(profile["series"] == "depth") & (profile["value"] > context.supported_depth + 1e-9)]
    deepest = deep.groupby(["policy", "product"], sort=False)["value"].max().reset_index()
    return [
        PAGE["deep"].format(
            policy=row["policy"],
            product=row["product"],
            deepest=show(row["value"], "share", currency=""),
            depth=f"{context.supported_depth * 100:g} %",
        )
        for row in deepest.to_dict("records")
    ]


def flat(given: Mapping[str, Any], *, prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as (label, text) lines."""
    lines: list[tuple[str, str]] = []
    for name, value in given.items():
        label = f"{prefix}{name}"
        if isinstance(value, Mapping):
            lines += flat(value, prefix=f"{label} · ")
        elif isinstance(value, list | tuple):
            lines.append((label, ", ".join(plain(part) for part in value)))
        else:
            lines.append((label, plain(value)))
    return lines


def render_html(view: Mapping[str, Any]) -> str:
    """The page as HTML."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(**view)


def render_markdown(view: Mapping[str, Any]) -> str:
    """The page as Markdown; every value is escaped unless it is Markdown already."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=False,  # `finalize` escapes every value for Markdown, with the signs of HTML
        finalize=as_markdown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.md.j2").render(**view, md=MarkdownText)
