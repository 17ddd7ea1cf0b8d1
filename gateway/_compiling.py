"""How numba is made to compile a kernel once: in one piece, and for all processes.

numba's own way assembles every function that a kernel calls by itself as well, and lets
processes that begin together compile the same side by side. What is overruled here is not
documented; a numba that lacks it compiles in its own way.
"""

from __future__ import annotations

import gc
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from gateway._cache import choose_cache


def _sources_digest() -> str:
    """Digest of every kernel source of the package, and of the rows and values they share.

    numba's cache looks only at the file of the outermost function, so a kernel that
    inlines a callee from another file would go stale when the callee changes. A cache
    folder named after *all* kernel sources cannot.
    """
    digest = hashlib.sha256()
    here = Path(__file__).parent
    for pattern in ("*_kernels.py", "tables.py", "stage.py", "_compiling.py", "_numba.py"):
        for path in sorted(here.rglob(pattern)):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


CACHE, _WHY_NONE = choose_cache(_sources_digest())
if CACHE is None:
    os.environ.pop("NUMBA_CACHE_DIR", None)
else:
    os.environ["NUMBA_CACHE_DIR"] = str(CACHE)

import numba  # noqa: E402  (the cache folder must be set before numba reads it)
from llvmlite import binding  # noqa: E402
from numba.core import caching, codegen  # noqa: E402
from numba.core.compiler import Compiler  # noqa: E402

from gateway._processes import lock_file  # noqa: E402

__all__ = ["CACHE", "WHOLE", "at_first_compile"]

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


@contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no garbage meanwhile: of what compiling makes in great numbers, little is any."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _WholeKernel(Compiler):
    """Compile a kernel together with all that it calls: optimised and assembled once.

    Under numba's lock, as all compiling is.
    """

    def compile_extra(self, function: Any) -> Any:
        made = self.state.targetctx.codegen()
        self.state.library = _Whole(made, function.__qualname__)
        self.state.library.enable_object_caching()
        with _uncollected(), _libraries_are(_Part, made):
            compiled = _compile_whole(self, function)
        for env in compiled._find_referenced_environments():
            made.set_env(env.env_name, env)
        return compiled


# cache: a warm start costs milliseconds instead of a minute of compilation. What kernels alone
# call is stored with each of them. Where there is no safe folder for it, nothing is kept: numba
# itself would take the package's own.
WHOLE: Any = {"cache": CACHE is not None}
# None of these is documented. Without them numba takes twice as long and gives the same code.
_INSIDE = ("_optimize_functions", "add_linking_library", "finalize", "_unserialize")
if hasattr(codegen.JITCPUCodegen, "_library_class") and all(
    hasattr(_Library, name) for name in _INSIDE
):
    WHOLE["pipeline_class"] = _WholeKernel

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
