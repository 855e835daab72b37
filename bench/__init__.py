"""Time cecore and compare it with its peers and with the bandwidth of the memory: ``python -m bench``.

Importing the package only puts tests/ on the path, for the registry of losses and the reference.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
