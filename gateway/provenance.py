"""What made a result: versions, commit, machine, time and memory."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import gateway

# Raised whenever the same config and seed would give other results than before: it is
# part of a result's id, so that old results are never mistaken for new ones.
MODEL_VERSION = 7

# Characters of a diff that a result keeps; of a longer one the digest tells which it was.
_LONGEST_DIFF = 200_000

PACKAGES = (
    "numpy", "scipy", "scikit-learn", "numba", "llvmlite", "matplotlib", "pyarrow", "pydantic",
)  # fmt: skip


def describe_environment() -> dict[str, Any]:
    """Return what this process runs on, ready for JSON."""
    return {
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        **_commit(),
        "lock_digest": _lock_digest(),
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "arithmetic": arithmetic(),
        "cores": os.cpu_count(),
        "memory_mib": _physical_bytes() // 2**20,
        "model_version": MODEL_VERSION,
    }


def result_versions() -> dict[str, Any]:
    """Return what must be the same on every machine that works on one sweep.

    Results are the same bytes only where these are the same.
    """
    names = ("numpy", "scipy", "scikit-learn", "numba", "llvmlite", "pyarrow")
    return {
        "gateway": gateway.__version__,
        "model": MODEL_VERSION,
        "python": ".".join(platform.python_version_tuple()[:2]),
        **{name: _version(name) for name in names},
    }


def arithmetic() -> str:
    """Return which of their ways to compute OpenBLAS and NumPy have chosen for this processor.

    Each adds up in another order. What compiled kernels may use of the processor changes no
    digit of theirs: no sum of them is allowed to be taken in another order.
    """
    import numpy as np  # noqa: PLC0415  (quick help)
    import scipy.linalg  # noqa: F401, PLC0415  (it brings a BLAS of its own)
    from threadpoolctl import threadpool_info  # noqa: PLC0415

    ways = {lib.get("architecture", "unknown") for lib in threadpool_info()
            if lib["user_api"] == "blas"}  # fmt: skip
    found = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    return f"BLAS {', '.join(sorted(ways))}; NumPy {', '.join(found) or 'baseline'}"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def _commit() -> dict[str, Any]:
    """Commit of the checkout that the package runs from; None outside a checkout.

    Asked once per process: what was loaded does not change when the checkout does.
    """
    here = Path(__file__).parent
    head = _git(here, "rev-parse", "HEAD")
    tracked = _git(here, "ls-files", "--error-unmatch", str(Path(__file__).name))
    if head is None or tracked is None:
        return {"commit": None, "dirty": None, "diff": None}
    status = _git(here, "status", "--porcelain")
    diff = _changes(here, status) if status else None
    return {"commit": head, "dirty": bool(status), "diff": diff}


def _changes(here: Path, status: str) -> str:
    """What differs from the commit: the diff, and the names of files that it does not know."""
    text = (_git(here, "diff", "HEAD", "--no-ext-diff", "--no-color") or "") + "\n"
    new = (line.removeprefix("?? ") for line in status.splitlines() if line.startswith("?? "))
    text += "".join(f"new file: {name}\n" for name in new)
    if len(text) > _LONGEST_DIFF:
        digest = hashlib.sha256(text.encode()).hexdigest()
        text = f"{text[:_LONGEST_DIFF]}\n... cut; the sha256 of the whole is {digest}\n"
    return text


@cache
def _lock_digest() -> str | None:
    """sha256 of the lock of the checkout that the package runs from; None outside of one."""
    lock = Path(__file__).parents[1] / "requirements.txt"
    try:
        return hashlib.sha256(lock.read_bytes()).hexdigest()
    except OSError:
        return None


def memory_bytes() -> int:
    """Return the memory that this process may take: of the machine, its container, its limit."""
    limits = [_physical_bytes(), _own_limit()]
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limits.append(int((Path("/sys/fs/cgroup") / name).read_text(encoding="ascii")))
        except (OSError, ValueError):  # no container, or one without a limit ("max")
            continue
    return min(limit for limit in limits if limit > 0)


def _own_limit() -> int:
    try:
        import resource  # noqa: PLC0415  (Windows has none)
    except ModuleNotFoundError:
        return 0
    return resource.getrlimit(resource.RLIMIT_AS)[0]


def _physical_bytes() -> int:
    if not hasattr(os, "sysconf"):  # Windows; what it has is not known then
        return sys.maxsize
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603  (fixed words, no shell)
            ["git", "-C", str(folder), *words],  # noqa: S607  (git as the user has it)
            capture_output=True, text=True, check=False, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def cpu_name() -> str:
    """Return the processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def peak_memory_mib() -> float:
    """Return the largest resident memory of this process so far, in MiB."""
    import resource  # noqa: PLC0415  (Windows has none)

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
