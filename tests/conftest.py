"""The book's own tools are importable in the tests: `book/notebooks.py`, and the scanners in `book/_ext`."""

import sys
from pathlib import Path

BOOK = Path(__file__).resolve().parents[1] / "book"
sys.path.extend(str(folder) for folder in (BOOK, BOOK / "_ext") if str(folder) not in sys.path)
