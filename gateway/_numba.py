"""The only place that knows how a kernel is compiled.

numba is imported here and in ``*_kernels.py``, nowhere else. A kernel is also valid
plain Python: with ``NUMBA_DISABLE_JIT=1`` the same lines run uncompiled, which is how
coverage and the naive twins look at them.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])


def _sources_digest() -> str:
    """Digest of every kernel source of the package, and of the rows and values they share.

    numba's cache looks only at the file of the outermost function, so a kernel that
    inlines a callee from another file would go stale when the callee changes. A cache
    folder named after *all* kernel sources cannot.
    """
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for pattern in ("*_kernels.py", "tables.py", "stage.py"):
        for path in sorted(here.rglob(pattern)):
            digest.update(path.read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()[:16]


def _cache_folder() -> Path:
    base = os.environ.get("GATEWAY_CACHE_DIR")
    root = Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return root / "gateway" / "numba" / _sources_digest()


os.environ.setdefault("NUMBA_CACHE_DIR", str(_cache_folder()))

import numba  # noqa: E402  (the cache folder must be set before numba reads it)
import numpy as np  # noqa: E402
from llvmlite import ir  # noqa: E402
from numba.core import caching  # noqa: E402
from numba.extending import overload  # noqa: E402

from gateway.file_locks import lock_file  # noqa: E402

__all__ = [
    "bits_of",
    "float_of",
    "inner_kernel",
    "is_compiled",
    "kernel",
    "parallel_kernel",
    "part_kernel",
    "prange",
    "prefetch",
    "set_threads",
    "threads",
    "threads_at_most",
    "write_through",
]

# cache: a warm start costs milliseconds instead of half a minute of compilation.
# nogil: other Python threads (progress, a scheduler's heartbeat) go on meanwhile.
# error_model "numpy": no hidden branch for a division by zero; kernels guard where needed.
# fastmath stays off: it lets the compiler reorder sums, and results must be the same bits.
_FLAGS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "fastmath": False}

# Without reference counts (see `inner_kernel`).
_LEAN: Any = {**_FLAGS, "_nrt": False}

prange = numba.prange


_cache_file: Any = caching.IndexDataCacheFile
_save_version: Any = _cache_file.save


def _save_alone(file: Any, key: Any, data: Any) -> None:
    """Add a compiled version of a function to the cache while no other process does.

    numba reads the index, chooses a free file for a new version, and writes both. Two
    processes at once choose the same file, and later somebody runs the code of the other's
    types. Readers need no lock: a version that is listed and not yet there counts as missing.
    """
    with Path(f"{file._index_path}.lock").open("ab") as lock:
        # A file system without locks leaves what numba does by itself.
        with suppress(OSError):
            lock_file(lock)
        _save_version(file, key, data)


_cache_file.save = _save_alone

_load_version: Any = _cache_file.load
_told: list[str] = []


def _load_or_tell(file: Any, key: Any) -> Any:
    """Return a compiled version from the cache; say, once, that there are some to be made.

    Compiling all kernels takes a minute in which nothing else can be seen to happen.
    """
    found = _load_version(file, key)
    if found is None and not _told:
        _told.append("compiling kernels, once")
        sys.stderr.write(f"{_told[0]} (about a minute; later starts find them)\n")
        sys.stderr.flush()
    return found


_cache_file.load = _load_or_tell


def kernel(function: Function) -> Function:
    """Compile a single-threaded kernel."""
    compiled: Function = numba.njit(**_FLAGS)(function)
    return compiled


def inner_kernel(function: Function) -> Function:
    """Compile a kernel that is called by others alone, and makes no array.

    Its arrays are not counted: the caller holds them. Two threads that count the same
    arrays at every call pass one line of the cache back and forth.
    """
    compiled: Function = numba.njit(**_LEAN)(function)
    return compiled


def part_kernel(function: Function) -> Function:
    """Compile a part of one loop: an inner kernel that is always inlined.

    An array costs seven words in every call, a stage of tables a hundred.
    """
    compiled: Function = numba.njit(**_LEAN, forceinline=True)(function)
    return compiled


def parallel_kernel(function: Function) -> Function:
    """Compile a kernel whose ``prange`` loops run on several threads.

    Each iteration writes only its own cells: no reduction over threads, so that the
    result has the same bits for any number of them.
    """
    compiled: Function = numba.njit(parallel=True, **_FLAGS)(function)
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
