# make demo   sets up .venv and runs the whole loop; OUT=<folder> SEED=<number>
# make test   the same set-up, then every check; JOBS=<processes> for tests without nodes, one a core by default
OUT ?= runs/demo
SEED ?= 1
JOBS ?= $(shell getconf _NPROCESSORS_ONLN)

# ROS comes from wheels here. A distribution that happens to be sourced stays out of it, or the two would mix.
unexport ROS_DISTRO AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH PYTHONPATH LD_LIBRARY_PATH RMW_IMPLEMENTATION
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE

.PHONY: demo test

demo: .venv/ready
	.venv/bin/irl-ros demo --out "$(OUT)" --seed "$(SEED)"

# Tests stay off the network; test/conftest.py gives each its own ROS domain.
test: export ROS_AUTOMATIC_DISCOVERY_RANGE = LOCALHOST
# Small networks beside many processes: more threads would only wait for each other.
test: export OMP_NUM_THREADS = 1
test: .venv/ready
	@echo "[1/5] ruff check"
	@.venv/bin/ruff check
	@echo "[2/5] ruff format"
	@.venv/bin/ruff format --check
	@echo "[3/5] mypy"
	@.venv/bin/mypy
	@echo "[4/5] pytest: all but the nodes"
	@.venv/bin/python -m pytest -n $(JOBS) --dist loadfile --ignore test/nodes
	@echo "[5/5] pytest: the nodes, one test after another, because they keep time"
	@.venv/bin/python -m pytest test/nodes

# Done once, and again when what is installed or compiled changes. Sources and configuration are used in place.
.venv/ready: setup_venv.sh constraints.txt pyproject.toml setup.py package.xml $(wildcard msg/* srv/* action/*)
	@bash setup_venv.sh
	@touch $@
