"""The only place that knows how a kernel is compiled.

numba is imported here and in ``*_kernels.py``, nowhere else. A kernel is also valid
plain Python: with ``NUMBA_DISABLE_JIT=1`` the same lines run uncompiled, which is how
coverage and the naive twins look at them.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from gateway._cache import choose_cache

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


CACHE, _WHY_NONE = choose_cache(_sources_digest())
if CACHE is None:
    os.environ.pop("NUMBA_CACHE_DIR", None)
else:
    os.environ["NUMBA_CACHE_DIR"] = str(CACHE)

import numba  # noqa: E402  (the cache folder must be set before numba reads it)
import numpy as np  # noqa: E402
from llvmlite import binding, ir  # noqa: E402
from numba.core import caching, codegen  # noqa: E402
from numba.core.compiler import Compiler  # noqa: E402
from numba.extending import overload, register_jitable  # noqa: E402

from gateway.file_locks import lock_file  # noqa: E402

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


_Library: Any = codegen.JITCodeLibrary
_compile_whole: Any = Compiler.compile_extra


@contextmanager
def _libraries_are(kind: type, made: Any) -> Iterator[None]:
    """Put what numba compiles or loads meanwhile into libraries of this kind."""
    before, made._library_class = made._library_class, kind
    try:
        yield
    finally:
        made._library_class = before


class _Part(_Library):  # type: ignore[misc]
    """Code of what a kernel calls: linked into the kernel's, not made to run by itself.

    numba optimises and assembles every function on the way up with all that it calls, four
    times over where a loop is parallel, and of all that nothing but the last is ever run.
    """

    def _optimize_functions(self, _module: Any) -> None:
        pass

    def finalize(self) -> None:
        """Link nothing: a kernel links every part once (see `_Whole`)."""
        for function in self._final_module.functions:
            if not function.is_declaration and function.linkage == binding.Linkage.external:
                function.linkage = "linkonce_odr"
        self._shared_module = self._final_module
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:  # noqa: ARG002
        self._ensure_finalized()
        return 0

    @property
    def codegen(self) -> Any:
        return self

    def set_env(self, _name: str, _env: Any) -> None:
        """Do nothing: here is no address for it (see `_WholeKernel`)."""

    @classmethod
    def _unserialize(cls, made: Any, state: Any) -> Any:
        # A kernel that another one calls, found in the cache: it runs by itself as well.
        with _libraries_are(_Library, made):
            return _Library._unserialize(made, state)


class _Whole(_Library):  # type: ignore[misc]
    """Code of a kernel, with that of all parts that it calls, directly or not."""

    def add_linking_library(self, library: Any) -> None:
        super().add_linking_library(library)
        for part in library._linking_libraries if isinstance(library, _Part) else ():
            if part not in self._linking_libraries:
                self.add_linking_library(part)


class _WholeKernel(Compiler):
    """Compile a kernel together with all that it calls: optimised and assembled once.

    Under numba's lock, as all compiling is.
    """

    def compile_extra(self, function: Any) -> Any:
        made = self.state.targetctx.codegen()
        self.state.library = _Whole(made, function.__qualname__)
        self.state.library.enable_object_caching()
        with _libraries_are(_Part, made):
            compiled = _compile_whole(self, function)
        for env in compiled._find_referenced_environments():
            made.set_env(env.env_name, env)
        return compiled


# cache: a warm start costs milliseconds instead of a minute of compilation. What kernels alone
# call is stored with each of them. Where there is no safe folder for it, nothing is kept: numba
# itself would take the package's own.
_WHOLE: Any = {"cache": CACHE is not None}
# None of these is documented. Without them numba takes twice as long and gives the same code.
_INSIDE = ("_optimize_functions", "add_linking_library", "finalize", "_unserialize")
if hasattr(codegen.JITCPUCodegen, "_library_class") and all(
    hasattr(_Library, name) for name in _INSIDE
):
    _WHOLE["pipeline_class"] = _WholeKernel

_cache_file: Any = caching.IndexDataCacheFile
_save_version: Any = _cache_file.save
_load_version: Any = _cache_file.load
# A kernel compiles in seconds: who waits longer waits for somebody who was stopped in it.
PATIENCE_SECONDS = 60.0
# What this process does when the first of its kernels is to be compiled.
_first_compiled: list[Callable[[], None]] = []
_told: list[str] = []
# What reading a file raises that a lost machine left in pieces.
_reader: Any = vars(caching)["pickle"]
_DAMAGE = (
    _reader.UnpicklingError, AttributeError, EOFError, ImportError, LookupError, TypeError,
    ValueError,
)  # fmt: skip


def _tell(text: str) -> None:
    """Say something on stderr, if there is one."""
    with suppress(OSError, AttributeError):
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


class _Compiling:
    """The function of the cache that this process is compiling: others wait for it.

    Two processes that begin together would compile the same kernels side by side. And numba
    reads its index, chooses a free file for a new version, and writes both: two at once choose
    the same file, and later somebody runs the code of the other's types.
    """

    index: str | None = None
    lock: Any = None

    def begin(self, file: Any) -> None:
        """Wait until nobody else compiles this function."""
        self.end()
        # A folder that cannot be written to, or a file system without locks, leaves what
        # numba does by itself.
        with suppress(OSError):
            self.lock = Path(f"{file._index_path}.lock").open("ab")  # noqa: SIM115  (see end)
            self.index = file._index_path
            latest = time.monotonic() + PATIENCE_SECONDS
            while not _is_taken(self.lock) and time.monotonic() < latest:
                time.sleep(0.01)

    def end(self) -> None:
        """Let the others go on."""
        if self.lock is not None:
            self.lock.close()
        self.index = self.lock = None


def _is_taken(lock: Any) -> bool:
    try:
        lock_file(lock, wait=False)
    except BlockingIOError:
        return False
    return True


_compiling = _Compiling()


def _save_alone(file: Any, key: Any, data: Any) -> None:
    """Add a compiled version of a function to the cache while no other process does.

    A disk that is full, or has become read-only, costs the next start its time and no more.
    """
    compiling = _compiling if _compiling.index == file._index_path else _Compiling()
    if compiling.lock is None:
        compiling.begin(file)
    try:
        with suppress(OSError):
            _save_version(file, key, data)
    finally:
        compiling.end()


def _load(file: Any, key: Any) -> Any:
    try:
        return _load_version(file, key)
    except _DAMAGE:
        with suppress(OSError):
            file.flush()
        return None


def _load_or_wait(file: Any, key: Any) -> Any:
    """Return a compiled version from the cache, also one that somebody is just compiling.

    Says, once, that there are some to be made: it takes a minute in which nothing else can be
    seen to happen.
    """
    found = _load(file, key)
    if found is not None:
        return found
    if not _told:
        _told.append("compiling kernels, once")
        _tell(f"{_told[0]} (about a minute; later starts find them)")
        for act in _first_compiled:
            act()
    _compiling.begin(file)
    found = _load(file, key)
    if found is not None:
        _compiling.end()
    return found


_cache_file.save = _save_alone
_cache_file.load = _load_or_wait

if CACHE is None and not numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
    _tell(f"kernels are compiled anew each time, for about a minute: {_WHY_NONE}")


@contextmanager
def at_first_compile(act: Callable[[], None]) -> Iterator[None]:
    """Call ``act`` when, within, the first kernel of this process is to be compiled."""
    _first_compiled.append(act)
    try:
        yield
    finally:
        _first_compiled.remove(act)


def kernel(function: Function) -> Function:
    """Compile a single-threaded kernel."""
    compiled: Function = numba.njit(**_FLAGS, **_WHOLE)(function)
    return compiled


def lean_kernel(function: Function) -> Function:
    """Compile a single-threaded kernel that makes no array (see `inner_kernel`)."""
    compiled: Function = numba.njit(**_LEAN, **_WHOLE)(function)
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
    compiled: Function = numba.njit(parallel=True, **_FLAGS, **_WHOLE)(function)
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
