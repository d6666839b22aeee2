"""What this copy of the package is: its version, and the book that it belongs to.

A published book builds its own copy of the package, in which both lines are more exact: the version ends in a
fingerprint of the sources (0.1.0+1a2b3c4d), and the address is that of the book.
"""

__version__ = "0.1.0"
BOOK_URL = None
