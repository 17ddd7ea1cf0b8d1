"""What the tree of files keeps to: layers, who touches files, and what may be in the checkout."""

from __future__ import annotations

import ast
import importlib
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "gateway"


@cache
def _pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _modules() -> list[str]:
    return sorted(path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*.py"))


# Layers ----------------------------------------------------------------------------------


def _layers() -> set[str]:
    (contract,) = _pyproject()["tool"]["importlinter"]["contracts"]
    return {name for line in contract["layers"] for name in re.findall(r"\w+", line)}


def test_layers__hold_every_module_and_folder_of_the_package() -> None:
    """import-linter sees no folder without __init__.py, this test does."""
    entries = {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py")}
    got = {name.removesuffix(".py") for name in entries} - {"__init__"}
    assert got <= _layers()


def test_folders__are_packages() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    got = {path.relative_to(ROOT).as_posix() for path in folders if not _has_init(path)}
    assert got == set()


def test_layout__in_the_docs_names_every_folder() -> None:
    page = (ROOT / "docs" / "decisions" / "software.md").read_text(encoding="utf-8")
    tree = page.partition("```text\n")[2].partition("```")[0]
    told = set(re.findall(r"^ +(\w+)/ ", tree, re.MULTILINE)) | {"sections"}
    assert told == {path.name for path in PACKAGE.rglob("*") if _has_init(path)}


def _has_init(folder: Path) -> bool:
    return (folder / "__init__.py").is_file()


# A kernel module whose API has another name, and which.
OWNERS: dict[str, str] = {
    "gateway/simulate/attempt_kernels.py": "gateway/simulate/occasion.py",
    "gateway/simulate/prefetch_kernels.py": "gateway/simulate/platform.py",
}


def _kernels() -> list[str]:
    return [path for path in _modules() if path.endswith("_kernels.py")]


def test_kernels__stand_beside_the_module_that_owns_them() -> None:
    owners = {path: OWNERS.get(path, path.replace("_kernels.py", ".py")) for path in _kernels()}
    got = {path for path, owner in owners.items() if not (ROOT / owner).is_file()}
    assert got == set()
    assert set(OWNERS) <= set(_kernels())


@pytest.mark.compiled
def test_kernels__that_others_call_run_compiled() -> None:
    """What kernels alone call is plain Python from outside: right, and a hundred times slower."""
    called = {
        (node.module, alias.name)
        for path in set(_modules()) - set(_kernels())
        for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and str(node.module).endswith("_kernels")
        for alias in node.names
    }
    found = {name: getattr(importlib.import_module(str(name[0])), name[1]) for name in called}
    functions = {name: kernel for name, kernel in found.items() if callable(kernel)}
    got = {name for name, kernel in functions.items() if not hasattr(kernel, "py_func")}
    assert {name for name in got if not isinstance(functions[name], type)} == set()
    assert len(functions) > 40


def test_kernels__are_the_untyped_modules_of_mypy() -> None:
    expected = {path.removesuffix(".py").replace("/", ".") for path in _kernels()}
    overrides = _pyproject()["tool"]["mypy"]["overrides"]
    (got,) = [set(o["module"]) for o in overrides if o.get("disallow_untyped_defs") is False]
    assert got == expected


# Files -----------------------------------------------------------------------------------

FILE_MODULES = ("gateway/log", "gateway/results")
FILE_EXCEPTIONS = {
    "gateway/_cache.py": "makes the folder of compiled kernels and looks who can write to it",
    "gateway/_compiling.py": "hashes the kernels' own sources for the name of numba's cache",
    "gateway/cli/__init__.py": "points stdout at the null device once its reader has gone",
    "gateway/figures/style.py": "writes CSV into memory, for the store to put in a file",
    "gateway/provenance.py": "reads facts of the machine and of the checkout",
}
# Libraries that are about files, whatever is called in them.
FILE_LIBRARIES = {
    "bz2",
    "fileinput",
    "glob",
    "gzip",
    "lzma",
    "pyarrow.csv",
    "pyarrow.dataset",
    "pyarrow.feather",
    "pyarrow.fs",
    "pyarrow.parquet",
    "shutil",
    "sqlite3",
    "tarfile",
    "tempfile",
    "zipfile",
}
FILE_METHODS = {
    "glob",
    "hardlink_to",
    "iterdir",
    "mkdir",
    "open",
    "read_bytes",
    "read_text",
    "rename",
    "rglob",
    "rmdir",
    "symlink_to",
    "touch",
    "unlink",
    "write_bytes",
    "write_text",
}
FILE_CALLS = {
    "io": "open",
    "np": "fromfile genfromtxt load loadtxt memmap save savetxt savez savez_compressed",
    "os": "fdopen link listdir makedirs mkdir open remove rename replace rmdir scandir symlink "
    "unlink walk",
    "pa": "OSFile input_stream memory_map output_stream",
}


def _touches_files(source: str) -> list[str]:
    """Return every place in a module that reads or writes a file."""
    tree = ast.parse(source)
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return [name for name in _imported(tree) if name in FILE_LIBRARIES] + [
        ast.unparse(call) for call in calls if _is_file_call(call)
    ]


def _imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _is_file_call(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    owner, _, method = name.rpartition(".")
    if name == "open" or method in FILE_CALLS.get(owner, "").split():
        return True
    if not isinstance(call.func, ast.Attribute):
        return False
    # Path.replace takes one argument, str.replace two, datetime.replace and the like keywords.
    is_path_replace = method == "replace" and len(call.args) == 1 and not call.keywords
    # Data of the package itself, found by importlib.resources; a result in the making, which
    # the store hands out and writes.
    # A log that is opened is read by the log reader.
    served = r"((importlib\.)?resources\.)?files\(|draft\.|JoinLog\.open|cls\.open"
    is_served = re.match(served, name) is not None
    return (method in FILE_METHODS or is_path_replace) and not is_served


@pytest.mark.parametrize(
    "source",
    [
        "open('x')",
        "path.open('w')",
        "(folder / 'x').write_text('y')",
        "Path('x').read_bytes()",
        "part.replace(path)",
        "import os\nos.replace('a', 'b')",
        "np.load(path)",
        "pa.memory_map('x')",
        "import pyarrow.parquet as pq",
        "from pyarrow import parquet",
        "def f():\n    import tempfile",
    ],
)
def test_touches_files__finds_every_way(source: str) -> None:
    assert _touches_files(source)


@pytest.mark.parametrize(
    "source",
    [
        "'a'.replace('a', 'b')",
        "dataclasses.replace(log, users=users)",
        "day.replace(tzinfo=None)",
        "files('gateway').joinpath('report.html').read_text()",
        "draft.write_text('config.toml', text)",
        "figure.savefig(buffer)",
        "import pyarrow as pa",
        "JoinLog.open(folder)",
    ],
)
def test_touches_files__finds_nothing_else(source: str) -> None:
    assert not _touches_files(source)


def test_files__are_touched_by_the_store_and_the_log_reader_alone() -> None:
    texts = {path: (ROOT / path).read_text(encoding="utf-8") for path in _modules()}
    got = {
        path: places
        for path, text in texts.items()
        if not re.match(rf"({'|'.join(FILE_MODULES)})[./]", path)
        and (places := _touches_files(text))
    }
    unexpected = {path: places for path, places in got.items() if path not in FILE_EXCEPTIONS}
    assert unexpected == {}
    # An exception that nothing needs is a hole.
    assert set(FILE_EXCEPTIONS) == set(got)


# The checkout ----------------------------------------------------------------------------

# In pieces, so that this file does not find itself.
REGISTRY = "|".join(["pypi" + r"\.org", "python" + "hosted", "anaconda" + r"\.org"])
OTHERS_FOLDER = r"(?<![\w.~/-])/(work|root|home|Users)" + "/"
LARGEST = 2**20


@cache
def _tracked() -> tuple[str, ...]:
    """Return the files that are in git or would be with the next `git add`."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("what belongs to the project is known only in a git checkout, with git")
    command = [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    names = run.stdout.decode().split("\0")
    return tuple(sorted({name for name in names if name and (ROOT / name).is_file()}))


def _text(name: str) -> str:
    return (ROOT / name).read_bytes().decode("utf-8", errors="replace")


def test_checkout__names_no_registry_and_no_folder_of_one_machine() -> None:
    pattern = re.compile(f"{REGISTRY}|{OTHERS_FOLDER}")
    got = {
        name: found.group()
        for name in _tracked()
        if (found := pattern.search(_text(name))) is not None
    }
    assert got == {}


def test_checkout__has_no_file_over_a_mebibyte() -> None:
    assert [name for name in _tracked() if (ROOT / name).stat().st_size > LARGEST] == []


@pytest.mark.parametrize(
    "name",
    [
        "CHANGELOG.md",
        "CITATION.cff",
        "CONTRIBUTING.md",
        "LICENSE",
        "README.md",
        "configs/quickstart.toml",
        "docs/decisions/index.md",
    ],
)
def test_checkout__has_what_a_reader_looks_for(name: str) -> None:
    assert (ROOT / name).stat().st_size > 0


def test_documents__link_to_files_that_exist() -> None:
    documents = [name for name in _tracked() if name.endswith(".md")]
    got = {
        f"{name}: {target}"
        for name in documents
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", _text(name))
        if "://" not in target and not (ROOT / name).parent.joinpath(target).exists()
    }
    assert got == set()


def test_version__is_one() -> None:
    (version,) = re.findall(r'__version__ = "(.+)"', _text("gateway/__init__.py"))
    assert f"\nversion: {version}\n" in _text("CITATION.cff")
    assert version in _text("CHANGELOG.md")


# The locks -------------------------------------------------------------------------------


def _pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", _text(name), re.MULTILINE))


LOCKS = tuple(f"requirements{part}.txt" for part in ("", "-dev", "-browser", "-docs"))


@pytest.mark.parametrize("name", LOCKS)
def test_lock__holds_no_address_and_a_hash_for_every_pin(name: str) -> None:
    assert not re.search(r"://|file:|--(?!hash=sha256:)", _text(name))
    blocks = re.split(r"\n(?=[a-z])", _text(name))[1:]
    assert blocks
    assert [block for block in blocks if "--hash=sha256:" not in block] == []


def test_locks__pin_every_dependency_and_agree() -> None:
    names = {re.split(r"[^\w-]", entry)[0] for entry in _pyproject()["project"]["dependencies"]}
    runtime, development = _pins("requirements.txt"), _pins("requirements-dev.txt")
    assert names <= set(runtime)
    assert {name: development.get(name) for name in runtime} == runtime
    groups = _pyproject()["dependency-groups"]
    wanted = {re.split(r"[^\w-]", entry)[0] for entry in groups["dev"] if isinstance(entry, str)}
    assert wanted <= set(development)
    for group in ("browser", "docs"):
        pins = _pins(f"requirements-{group}.txt")
        assert {re.split(r"[^\w-]", entry)[0] for entry in groups[group]} <= set(pins)
        assert {n: development[n] for n in pins if n in development}.items() <= pins.items()
