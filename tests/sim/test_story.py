"""The story of a sale stays a story: calls of the parts by their own names, and nothing else."""

import ast
from pathlib import Path

from flashsim.sim import sale

DEEDS = (
    ast.BinOp,
    ast.UnaryOp,
    ast.Compare,
    ast.Assign,
    ast.AugAssign,
    ast.AnnAssign,
    ast.For,
    ast.While,
    ast.Subscript,
)


def test_the_story_holds_no_arithmetic_no_loop_and_no_alias_of_a_part() -> None:
    """Shapes and annotations aside."""
    tree = ast.parse(Path(sale.__file__).read_text(encoding="utf-8"))
    found = {
        f"{function.name}: {ast.unparse(node)}"
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef)
        for statement in function.body
        for node in ast.walk(statement)
        if isinstance(node, DEEDS) and ast.unparse(node) != "tables.rate.shape[0]"
    }
    assert found == set()
