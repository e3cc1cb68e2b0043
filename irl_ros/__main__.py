"""`python -m irl_ros` is `irl-ros`."""

import sys

from irl_ros.cli import main

sys.exit(main())
