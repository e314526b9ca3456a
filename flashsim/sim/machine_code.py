"""How functions become machine code: an entry, which Python calls, with all the pieces that it calls, at once.

Numba makes machine code of every function by itself: it is optimized twice, and once more with each function that calls
it, at each level. Here a piece is left as it is lowered. An entry links all pieces that it needs, however deep, and is
optimized with them in one go, in which a piece stays a function of its own: so it is compiled once, and the compiler
drops what it is passed and does not read, which of the states and ledgers is nearly all.

Numba also keeps each variable that is used beyond its block in memory. For a ledger of some hundred arrays that is a
thousand stores and loads a use, which the optimizer has to find out again to be of no effect. Here a tuple or an array
that is assigned once stays a value.
"""

# mypy: disable-error-code="no-untyped-call"

from collections import Counter
from collections.abc import Iterator
from typing import Any

from numba.core import types
from numba.core.analysis import compute_cfg_from_blocks, compute_use_defs, must_use_alloca
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import register_pass
from numba.core.environment import lookup_environment
from numba.core.ir import Assign
from numba.core.ir_utils import rename_labels
from numba.core.lowering import Lower
from numba.core.typed_passes import NativeLowering

_FROM_PYTHON = "_ZN7cpython"  # how numba's name of what Python calls begins
_ENVIRONMENT = "_ZN08NumbaEnv"  # how numba names the variables that hold what a function needs to raise an error


class _Library(JITCodeLibrary):
    """Code whose functions are optimized with the whole module only."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def functions(self) -> set[str]:
        """Names of what is defined here."""
        return {function.name for function in self._final_module.functions if not function.is_declaration}


class _NoMachineCode:
    """Stands for the code generator where there is no machine code that could be told of an environment."""

    @staticmethod
    def set_env(name: str, environment: Any) -> None:
        """Leave it to the entry."""


class _Piece(_Library):
    """A function that compiled code alone calls: as it is lowered."""

    codegen = _NoMachineCode

    def finalize(self) -> None:
        """There is nothing to do before an entry links it."""
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """There is none."""
        self._ensure_finalized()
        return 0


class _Entry(_Library):
    """A function that Python calls, and all that it needs."""

    def finalize(self) -> None:
        """Link, optimize, and make machine code."""
        self._raise_if_finalized()
        codegen: Any = self._codegen
        pieces = set()
        for library in _needed_by(self, {}):
            self._reload_init.update(library._reload_init)
            if isinstance(library, _Piece):
                pieces |= library.functions()
                self._final_module.link_in(library._final_module, preserve=True)
            else:
                self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        for function in self._final_module.functions:
            if not (function.is_declaration or function.name.startswith(_FROM_PYTHON)):
                function.linkage = "internal"
            if function.name in pieces:
                function.add_function_attribute("noinline")
        passes, builder = codegen._module_pass_manager()  # all at once: numba's first, cheap ones cost speed
        passes.run(self._final_module, builder)
        self._final_module.verify()
        self._finalize_final_module()
        for variable in self._final_module.global_variables:
            if variable.name.startswith(_ENVIRONMENT) and (known := lookup_environment(variable.name)) is not None:
                codegen.set_env(variable.name, known)


def _needed_by(library: Any, seen: dict[int, Any]) -> Iterator[Any]:
    """Every library that ``library`` or a piece that it needs links, once."""
    for other in library._linking_libraries:
        if id(other) not in seen:
            seen[id(other)] = other
            yield other
            if isinstance(other, _Piece):
                yield from _needed_by(other, seen)


class _Lowering(Lower):
    """Keeps tuples and arrays as values; to be used without numba's counting of references (``_nrt=False``)."""

    def init(self) -> None:
        """Order the blocks, so that a value is lowered before it is used, and find what can be a value."""
        self.blocks = self.func_ir.blocks = rename_labels(self.func_ir.blocks)
        super().init()
        self._singly_assigned_vars |= self._values()

    def _values(self) -> set[str]:
        """Names of tuples and arrays that are assigned once, at a place that comes before all their uses."""
        assigned = [(each.target.name, at) for at, block in self.blocks.items() for each in block.find_insts(Assign)]
        times, places = Counter(name for name, _ in assigned), dict(assigned)
        values = {name for name in places if times[name] == 1 and self._is_large(name)}
        before = compute_cfg_from_blocks(self.blocks).dominators()
        for at, used in compute_use_defs(self.blocks).usemap.items():
            values -= {name for name in used if name in values and places[name] not in before[at]}
        return values - must_use_alloca(self.blocks)

    def _is_large(self, name: str) -> bool:
        return isinstance(self.typeof(name), types.BaseTuple | types.Array)

    def delvar(self, name: str) -> None:
        """Nothing is owned: there is nothing to give back."""


@register_pass(mutates_CFG=True, analysis_only=False)
class _LoweringToValues(NativeLowering):
    _name = "lowering_to_values"

    @property
    def lowering_class(self) -> type[Lower]:
        return _Lowering


def _compiler_of(library: type[_Library]) -> type[Compiler]:
    class IntoLibrary(Compiler):
        """Numba's compiler, but for the lowering and for where it puts the code."""

        def define_pipelines(self) -> list[Any]:
            state = self.state
            state.library = library(state.targetctx.codegen(), state.func_id.func_qualname)
            state.library.enable_object_caching()
            ways = super().define_pipelines()
            for way in ways:
                way.passes = [(_LoweringToValues if step is NativeLowering else step, why) for step, why in way.passes]
                way._finalized = False
                way.finalize()
            return ways

    return IntoLibrary


COMPILES_PIECES, COMPILES_ENTRIES = _compiler_of(_Piece), _compiler_of(_Entry)
