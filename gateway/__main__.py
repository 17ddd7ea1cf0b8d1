"""``python -m gateway`` and the ``gateway`` command."""

from gateway.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
