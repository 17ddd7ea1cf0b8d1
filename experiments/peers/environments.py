"""Make an environment for every peer, with what requirements/NAME.txt pins and nothing else.

`--no-deps`: the pins are whole, and T-RECS (2021) says that it needs versions that no longer
install; with those of its file it works. ChannelAttribution comes as source: it needs a
compiler and three minutes.

Run: python experiments/peers/environments.py [--folder .cache/peers] [--only NAME ...]
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

PINS = Path(__file__).parent / "requirements"
NAMES = sorted(path.stem for path in PINS.glob("*.txt"))
FOLDER = Path(".cache/peers")


def make(name: str, folder: Path) -> None:
    """Make one environment, or leave the one that is there and has the same pins."""
    home, pins = folder / name, PINS / f"{name}.txt"
    done = home / pins.name
    if done.exists() and done.read_bytes() == pins.read_bytes():
        return
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    subprocess.run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, home], check=True)  # noqa: S603
    call = [uv, "pip", "install", "--quiet", "--no-deps", "--python", home, "--requirement", pins]
    subprocess.run(call, check=True)  # noqa: S603
    done.write_bytes(pins.read_bytes())


def main() -> None:
    """Make them one after the other; one that cannot be made leaves the others as they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--only", choices=NAMES, nargs="+", default=NAMES)
    options = parser.parse_args()
    for name in options.only:
        try:
            make(name, options.folder)
            print(f"{name}: ready", flush=True)
        except subprocess.CalledProcessError as error:
            print(f"{name}: could not be made (code {error.returncode})", flush=True)


if __name__ == "__main__":
    main()
