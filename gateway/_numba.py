"""The only place that knows how a kernel is declared; ``_compiling`` knows how it is compiled.

numba is imported in these two and in ``*_kernels.py``, nowhere else. A kernel is also valid
plain Python: with ``NUMBA_DISABLE_JIT=1`` the same lines run uncompiled, which is how
coverage and the naive twins look at them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from gateway._compiling import CACHE, WHOLE, at_first_compile  # isort: skip  (numba's cache)

import numba
import numpy as np
from llvmlite import binding, ir
from numba.extending import overload, register_jitable

Function = TypeVar("Function", bound=Callable[..., Any])

__all__ = [
    "CACHE",
    "at_first_compile",
    "bits_of",
    "float_of",
    "inner_kernel",
    "is_compiled",
    "kernel",
    "lean_kernel",
    "making_kernel",
    "parallel_kernel",
    "part_kernel",
    "prange",
    "prefetch",
    "processor_features",
    "set_threads",
    "threads",
    "threads_at_most",
    "write_through",
]

# nogil: other Python threads (progress, a scheduler's heartbeat) go on meanwhile.
# error_model "numpy": no hidden branch for a division by zero; kernels guard where needed.
# fastmath stays off: it lets the compiler reorder sums, and results must be the same bits.
# no_cfunc_wrapper: nobody calls a kernel from C, so that nothing is compiled for it.
_FLAGS: dict[str, Any] = {
    "nogil": True, "error_model": "numpy", "fastmath": False, "no_cfunc_wrapper": True,
}  # fmt: skip
# Without reference counts (see `inner_kernel`).
_LEAN: Any = {**_FLAGS, "_nrt": False}

prange = numba.prange


def kernel(function: Function) -> Function:
    """Compile a single-threaded kernel."""
    compiled: Function = numba.njit(**_FLAGS, **WHOLE)(function)
    return compiled


def lean_kernel(function: Function) -> Function:
    """Compile a single-threaded kernel that makes no array (see `inner_kernel`)."""
    compiled: Function = numba.njit(**_LEAN, **WHOLE)(function)
    return compiled


def inner_kernel(function: Function) -> Function:
    """Compile a kernel that is called by others alone, and makes no array.

    Its arrays are not counted: the caller holds them. Two threads that count the same
    arrays at every call pass one line of the cache back and forth. Called from outside a
    kernel it is plain Python: to take a hundred arrays from there and hand back what it
    returns would be more code than most of these kernels.
    """
    return register_jitable(**_LEAN)(function)


def making_kernel(function: Function) -> Function:
    """Compile a kernel that is called by others alone, and makes arrays."""
    return register_jitable(**_FLAGS)(function)


def part_kernel(function: Function) -> Function:
    """Compile a part of one loop: an inner kernel that is always inlined.

    An array costs seven words in every call, a stage of tables a hundred.
    """
    return register_jitable(**_LEAN, forceinline=True)(function)


def parallel_kernel(function: Function) -> Function:
    """Compile a kernel whose ``prange`` loops run on several threads.

    Each iteration writes only its own cells: no reduction over threads, so that the
    result has the same bits for any number of them.
    """
    compiled: Function = numba.njit(parallel=True, **_FLAGS, **WHOLE)(function)
    return compiled


def is_compiled() -> bool:
    """Tell whether kernels are compiled, or run as plain Python (``NUMBA_DISABLE_JIT=1``)."""
    return not numba.config.DISABLE_JIT  # type: ignore[attr-defined]


def prefetch(table: Any, row: int) -> None:
    """Ask for one row of a table ahead of its use; as plain Python it does nothing.

    The rows that a loop will come to are known, the processor cannot guess them: asked for
    some rounds ahead they arrive while others are worked on. Any row may be asked for, also
    one beyond the end.
    """


@numba.extending.intrinsic
def _prefetch(_context: Any, table: Any, row: Any) -> Any:  # noqa: ARG001
    def generate(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        array = context.make_array(table)(context, builder, values[0])
        stride = builder.extract_value(array.strides, 0)
        byte = ir.IntType(8).as_pointer()
        start = builder.bitcast(array.data, byte)
        at = builder.gep(start, [builder.mul(values[1], stride)])
        i32 = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, i32, i32, i32])
        declare: Any = numba.core.cgutils.get_or_insert_function
        call = declare(builder.module, kind, "llvm.prefetch.p0i8")
        builder.call(call, [at, i32(0), i32(3), i32(1)])
        return context.get_dummy_value()

    return numba.types.void(table, numba.types.int64), generate


@overload(prefetch, jit_options=_LEAN)
def _compiled_prefetch(table: Any, row: Any) -> Any:  # noqa: ARG001
    def ask(table: Any, row: Any) -> None:
        _prefetch(table, row)  # type: ignore[call-arg]

    return ask


def write_through(array: Any, i: int, value: float) -> None:
    """Write ``array[i] = value`` to memory, past the cache; ``i`` is from 0 to the length.

    For long columns that are filled in order and read much later: they push nothing out of
    the cache, and what they overwrite is not fetched first.
    """
    array[i] = value


@numba.extending.intrinsic
def _write_through(_context: Any, array: Any, i: Any, value: Any) -> Any:  # noqa: ARG001
    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, values[0]).data
        written = builder.store(values[2], builder.gep(data, [values[1]]))
        one = builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)])
        written.set_metadata("nontemporal", one)
        return context.get_dummy_value()

    return numba.types.void(array, numba.types.int64, array.dtype), generate


@overload(write_through, jit_options=_LEAN)
def _compiled_write_through(array: Any, i: Any, value: Any) -> Any:  # noqa: ARG001
    def write(array: Any, i: Any, value: Any) -> None:
        _write_through(array, i, value)  # type: ignore[call-arg]

    return write


def bits_of(x: Any) -> Any:
    """Return the 64 bits of a float as a signed integer."""
    return np.float64(x).view(np.int64)


def float_of(bits: Any) -> Any:
    """Return the float that 64 bits stand for."""
    return np.int64(bits).view(np.float64)


def _reinterpreted(signature: Any, kind: Any) -> Any:
    def generate(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.bitcast(values[0], kind)

    return signature, generate


@numba.extending.intrinsic
def _bits_of(_context: Any, _x: Any) -> Any:
    return _reinterpreted(numba.types.int64(numba.types.float64), ir.IntType(64))


@numba.extending.intrinsic
def _float_of(_context: Any, _bits: Any) -> Any:
    return _reinterpreted(numba.types.float64(numba.types.int64), ir.DoubleType())


@overload(bits_of, jit_options=_LEAN)
def _compiled_bits_of(x: Any) -> Any:  # noqa: ARG001
    def reinterpret(x: Any) -> Any:
        return _bits_of(x)  # type: ignore[call-arg]

    return reinterpret


@overload(float_of, jit_options=_LEAN)
def _compiled_float_of(bits: Any) -> Any:  # noqa: ARG001
    def reinterpret(bits: Any) -> Any:
        return _float_of(bits)  # type: ignore[call-arg]

    return reinterpret


def processor_features() -> str:
    """Return what the compiler may use of the processor, sorted; the same, the same code."""
    features = binding.get_host_cpu_features().flatten()
    chosen = (numba.config.CPU_NAME, numba.config.CPU_FEATURES)  # type: ignore[attr-defined]
    name = chosen[0] or binding.get_host_cpu_name()
    return f"{name}: {','.join(sorted((chosen[1] or features).split(',')))}"


def threads() -> int:
    """Return the number of threads that parallel kernels use now."""
    return int(numba.get_num_threads())


def set_threads(count: int) -> None:
    """Use ``count`` threads in parallel kernels, at most the machine's number."""
    most = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    numba.set_num_threads(max(1, min(count, most)))


@contextmanager
def threads_at_most(count: int) -> Iterator[None]:
    """Use at most ``count`` threads within: a thread without work only gets in the way.

    It is woken and waits, at every call, for whoever works.
    """
    before = threads()
    if before <= count:
        yield
        return
    set_threads(count)
    try:
        yield
    finally:
        set_threads(before)
