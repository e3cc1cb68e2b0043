"""irl_ros learns why from demonstrations of a throw: inverse reinforcement learning on ROS 2."""

import os
import pkgutil
import sys
from pathlib import Path

__version__ = "0.1.0"

# The generated irl_ros.msg and irl_ros.action lie in site-packages, also when this is a source folder.
__path__ = pkgutil.extend_path(__path__, __name__)

# Nobody sources a setup file for a virtual environment, so we add it to the ament index ourselves.
if (Path(sys.prefix) / "share/ament_index/resource_index/packages/irl_ros").is_file():
    _prefixes = [path for path in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if path]
    if sys.prefix not in _prefixes:
        os.environ["AMENT_PREFIX_PATH"] = os.pathsep.join([*_prefixes, sys.prefix])

# Gymnasium looks for no environments by itself. Who has imported it before us gets ours now, everybody else
# with irl_ros.sim: importing it here would make every command line wait.
if "gymnasium" in sys.modules:
    from irl_ros import environments  # noqa: F401
