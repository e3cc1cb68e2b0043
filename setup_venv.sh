#!/usr/bin/env bash
# Sets up .venv: Python packages and ROS 2 from wheels, then irl_ros itself, editable. Run by make.
# PYTHON=<interpreter> chooses another Python than the first of those below that runs.
set -euo pipefail
cd "$(dirname "$0")"
log=.venv/setup.log

stop() {
  echo "irl_ros: $*" >&2
  exit 1
}

supported() { "$1" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; }

# 3.11 first: there are no PyBullet wheels for later ones.
for candidate in ${PYTHON:-python3.11 python3.10 python3.12 python3.13 python3}; do
  if supported "$candidate"; then
    python=$candidate
    break
  fi
done
[ -n "${python:-}" ] || stop "needs Python 3.10 to 3.13, and found none (name one with PYTHON=...)"
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
  stop "$python lacks the venv module (Debian, Ubuntu: apt install python3-venv)"
command -v "${CXX:-c++}" >/dev/null || stop "needs a C++ compiler (Debian, Ubuntu: apt install g++)"

# pip writes to a log; the screen shows what takes long, and the end of the log when something fails.
pip_install() {
  .venv/bin/python -m pip install --disable-pip-version-check -c constraints.txt "$@" 2>&1 | tee -a "$log" |
    sed -un -e 's/^ *\(Downloading .*MB)\)/      \1/p' -e 's/^Installing collected packages:.*/      Installing/p' \
      -e 's/^ *Building editable for irl_ros.*started/      Compiling the messages of irl_ros/p' || {
    tail -n 30 "$log" >&2
    stop "the set-up failed; all pip said is in $log, and make goes on from here"
  }
}

if [ ! -x .venv/bin/python ]; then
  echo "[1/3] .venv with $("$python" --version)"
  "$python" -m venv .venv
fi
: >"$log"

echo "[2/3] what the messages are built with"
# Into .venv, not into pip's isolated environment: colcon builds with it, and a rebuild takes seconds.
sed -n '/^requires = \[/,/^\]/ s/^ *"\(.*\)",$/\1/p' pyproject.toml >.venv/build-requirements.txt
pip_install -r .venv/build-requirements.txt

echo "[3/3] irl_ros with its packages: minutes the first time"
has_pybullet_wheel='import sys; sys.exit(sys.version_info >= (3, 12))'
.venv/bin/python -c "$has_pybullet_wheel" || echo "      PyBullet is compiled for this Python: some minutes more"
pip_install --no-build-isolation -e '.[test]'
