"""Times cecore against its peers and against the memory: ``python -m bench``.

Importing the package finds the tests' registry and reference, and imports nothing else.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
