"""What a decision rests on, as tables of the page."""

from flashsim.evaluation.kpis import KPIS
from flashsim.report.grids import Cell, Grid, Shelf, words
from flashsim.report.narrative import Ends


def leads_grid(shelf: Shelf) -> Grid:
    """What the decision rests on: every candidate over the practice, every learner over every rule."""
    table, rows = shelf.tables["leads"], []
    for row in table.index:
        unit, change = str(table.loc[row, "unit"]), str(table.loc[row, "change"])
        policy = f"{table.loc[row, 'policy']}, {change}" if change else str(table.loc[row, "policy"])
        ahead = Cell(
            f"{table.loc[row, 'ahead']} / {table.loc[row, 'worlds']}",
            f"leads-{row}-ahead",
            kind="number",
            aliases=tuple(f"leads-{row}-{name}" for name in ("worlds", "sales", "asked", "confidence_percent")),
        )
        rows.append(
            (
                words(policy),
                words(table.loc[row, "over"]),
                shelf.number("leads", row, "mean", unit=unit, signed=True, ends=Ends("mean")),  # type: ignore[arg-type]
                shelf.number("leads", row, "p_value", unit=None),
                ahead,
                shelf.number("leads", row, "detectable", unit=unit),  # type: ignore[arg-type]
            )
        )
    head = ("policy", "over", "lead", "p", "worlds_led", "detectable")
    return shelf.grid("leads", "leads_caption", head, rows)


def tells_grid(shelf: Shelf) -> Grid:
    """What would settle the questions that are open."""
    table, known = shelf.tables["tells"], {kpi.name: kpi.label for kpi in KPIS}
    rows = [
        (
            words(known.get(str(table.loc[row, "about"]), table.loc[row, "about"])),
            words(shelf.page[f"tell {table.loc[row, 'kind']}"]),
            shelf.number("tells", row, "amount", unit="count"),
            words(table.loc[row, "field"] or "–"),
            shelf.number("tells", row, "share", unit="share"),
        )
        for row in table.index
    ]
    head = ("question", "tell", "needed", "field", "explains")
    return shelf.grid("tells", "tells_caption", head, rows)
