"""List all programs, a line each: ``python -m experiments``."""

import ast
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import experiments

PACKAGES = ("experiments", "experiments.studies", "experiments.benchmarks")
"""Where programs are."""
HERE = Path(experiments.__file__).parent
ENDINGS = """
Exit codes: 0, it is done; 2, it cannot be done, and one sentence says why (settings, files, a full disk);
130, Ctrl-C; 143, SIGTERM; 141, nobody reads what it prints any more; any other is a fault of ours.
A training that was stopped prints the line that goes on with it; other programs are started again, with another
output."""


def programs() -> Iterator[tuple[str, str]]:
    """Module and first line of its docstring of every program, read from its file: importing one takes seconds."""
    for package in PACKAGES:
        folder = HERE.joinpath(*package.split(".")[1:])
        for module in pkgutil.iter_modules([str(folder)]):
            if module.name == "__main__" or module.ispkg:
                continue
            tree = ast.parse((folder / f"{module.name}.py").read_text(encoding="utf-8"))
            if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
                yield f"{package}.{module.name}", (ast.get_docstring(tree) or "").partition("\n")[0]


def main() -> None:
    """Print the list."""
    listed = list(programs())
    width = max(len(name) for name, _ in listed)
    for name, line in listed:
        print(f"python -m {name:<{width}}  {line}")
    print("\nEach tells its settings with --help.")
    print(ENDINGS)


if __name__ == "__main__":
    main()
