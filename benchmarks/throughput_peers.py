"""What throughput.py throws one after the other: PyBullet as a newcomer writes it, ours, and MuJoCo."""

from __future__ import annotations

import torch
from throughput_table import Table, random_actions

from irl_ros.sim.world import World

BULLET_THROWS = 64


def bullet_rows(table: Table, world: World) -> None:
    from irl_ros.sim.bullet_world import BulletWorld

    actions = [a[:BULLET_THROWS] for a in random_actions(world, BULLET_THROWS, torch.device("cpu"))]
    targets = world.sample_targets(BULLET_THROWS)
    with BulletWorld(world) as simulator:

        def open_loop() -> None:
            simulator.reset(targets)
            for action in actions:
                simulator.step(action)

        table.row("BulletWorld, ours", BULLET_THROWS, open_loop, "PyBullet's stepSimulation, 300 a throw")


def naive_row(table: Table, world: World) -> None:
    """As the PyBullet quickstart goes: a call a joint, velocity motors, the ball a body that flies."""
    import pybullet

    client = pybullet.connect(pybullet.DIRECT)
    pybullet.setGravity(0, 0, -world.settings.gravity, physicsClientId=client)
    pybullet.setTimeStep(world.physics_dt, physicsClientId=client)
    robot, here = world.robot, {"physicsClientId": client}
    body = pybullet.loadURDF(str(robot.urdf), useFixedBase=True, **here)
    infos = [pybullet.getJointInfo(body, i, **here) for i in range(pybullet.getNumJoints(body, **here))]
    index = {info[1].decode(): info[0] for info in infos}
    tool = {info[12].decode(): info[0] for info in infos}[robot.settings.end_effector]
    shape = pybullet.createCollisionShape(pybullet.GEOM_SPHERE, radius=0.03, **here)
    ball = pybullet.createMultiBody(0.05, shape, **here)
    actions = [a[0].tolist() for a in random_actions(world, 1, torch.device("cpu"))]

    def throw() -> None:
        for name, q in zip(robot.joints, robot.home):
            pybullet.resetJointState(body, index[name], q, 0.0, **here)
        for action in actions:
            for j, name in enumerate(robot.joints):
                speed, force = action[j] * world.velocity[j], robot.effort[j]
                pybullet.setJointMotorControl2(
                    body, index[name], pybullet.VELOCITY_CONTROL, targetVelocity=speed, force=force, **here
                )
            for _ in range(world.settings.physics_steps):
                if action[-1] < 0:
                    hand = pybullet.getLinkState(body, tool, computeLinkVelocity=1, **here)
                    pybullet.resetBasePositionAndOrientation(ball, hand[4], hand[5], **here)
                    pybullet.resetBaseVelocity(ball, hand[6], hand[7], **here)
                pybullet.stepSimulation(**here)
            for name in robot.joints:
                pybullet.getJointState(body, index[name], **here)
            pybullet.getBasePositionAndOrientation(ball, **here)

    table.row(
        "PyBullet, as a newcomer writes it", 1, throw, "a Python call a joint, meshes and motors in each step"
    )
    pybullet.disconnect(client)


def mujoco_rows(table: Table, world: World) -> None:
    import mujoco
    import numpy as np
    from mujoco import rollout

    from irl_ros.sim.bullet_arm import dynamics_urdf

    model = mujoco.MjModel.from_xml_string(dynamics_urdf(world.robot))
    model.opt.timestep = world.physics_dt
    steps, count = world.horizon * world.settings.physics_steps, 256
    data = mujoco.MjData(model)
    data.qpos[:] = world.home
    size = mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)
    state = np.empty(size)
    mujoco.mj_getState(model, data, state, mujoco.mjtState.mjSTATE_FULLPHYSICS)
    start = np.tile(state, (count, 1))
    torque = np.random.default_rng(0).uniform(-0.2, 0.2, (count, steps, model.nv)) * world.robot.effort
    spec = mujoco.mjtState.mjSTATE_QFRC_APPLIED

    def throw() -> None:
        rollout.rollout(model, data, start, torque, control_spec=spec)

    bound = (
        f"MuJoCo {mujoco.__version__}: {steps} steps of the bare arm under given torques; no servo, no ball"
    )
    table.row("mujoco.rollout, one thread, arm alone", count, throw, bound)
