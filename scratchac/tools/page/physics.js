// The physics of four environments, with the same equations as in Gymnasium (gymnasium/envs/classic_control), in float64.
//
//   start(random)                   a first state; random() is uniform in [0, 1)
//   observe(state)                  what the policy sees
//   step(state, action, settings)   {state, reward, terminated}
//
// settings: the environment's arguments, gravity, which Gymnasium lets change for Pendulum only, and push = [x, y], the
// force of the user's hand.
// limit is the time limit in steps, fps the speed at which Gymnasium shows it.

const uniform = (random, low, high) => low + (high - low) * random();
const wrap = (angle) => angle - 2 * Math.PI * Math.floor((angle + Math.PI) / (2 * Math.PI));       // into [−π, π)

const physics = {
  "CartPole-v1": {
    limit: 500, fps: 50, gravity: 9.8, actions: ["left", "right"],
    start: (random) => [0, 0, 0, 0].map(() => uniform(random, -0.05, 0.05)),
    observe: (state) => state,
    step([x, xDot, theta, thetaDot], action, { gravity, push, sutton_barto_reward }) {
      const masscart = 1.0, masspole = 0.1, length = 0.5, tau = 0.02;                     // half the pole's length
      const totalMass = masspole + masscart, polemassLength = masspole * length;
      const force = (action === 1 ? 10 : -10) + push[0];                                  // on the cart
      const cos = Math.cos(theta), sin = Math.sin(theta);
      const temp = (force + polemassLength * thetaDot ** 2 * sin) / totalMass;
      const thetaAcc = (gravity * sin - cos * temp) / (length * (4 / 3 - masspole * cos ** 2 / totalMass));
      const xAcc = temp - polemassLength * thetaAcc * cos / totalMass;
      const state = [x + tau * xDot, xDot + tau * xAcc, theta + tau * thetaDot, thetaDot + tau * thetaAcc];
      const terminated = Math.abs(state[0]) > 2.4 || Math.abs(state[2]) > 12 * 2 * Math.PI / 360;
      return { state, reward: sutton_barto_reward ? -Number(terminated) : 1, terminated };
    },
  },

  "Pendulum-v1": {
    limit: 200, fps: 30, gravity: 10,
    start: (random) => [uniform(random, -Math.PI, Math.PI), uniform(random, -1, 1)],
    observe: ([theta, thetaDot]) => [Math.cos(theta), Math.sin(theta), thetaDot],         // θ = 0 is up
    step([theta, thetaDot], action, { gravity, push }) {
      const m = 1, l = 1, dt = 0.05;
      const u = clip(action[0], -2, 2);
      const torque = u - l * (Math.sin(theta) * push[1] + Math.cos(theta) * push[0]);     // with that of the hand: r × F at the tip
      const costs = wrap(theta) ** 2 + 0.1 * thetaDot ** 2 + 0.001 * u ** 2;
      const acceleration = 3 * gravity / (2 * l) * Math.sin(theta) + 3 / (m * l ** 2) * torque;
      const newThetaDot = clip(thetaDot + acceleration * dt, -8, 8);
      return { state: [theta + newThetaDot * dt, newThetaDot], reward: -costs, terminated: false };
    },
  },

  "Acrobot-v1": {
    limit: 500, fps: 15, gravity: 9.8, actions: ["torque −1", "none", "torque +1"],
    start: (random) => [0, 0, 0, 0].map(() => Math.fround(uniform(random, -0.1, 0.1))),
    observe: ([t1, t2, v1, v2]) => [Math.cos(t1), Math.sin(t1), Math.cos(t2), Math.sin(t2), v1, v2],
    step(state, action, settings) {
      const [t1, t2, v1, v2] = rungeKutta((s) => acrobot(s, action - 1, settings), state, 0.2);
      const next = [wrap(t1), wrap(t2), clip(v1, -4 * Math.PI, 4 * Math.PI), clip(v2, -9 * Math.PI, 9 * Math.PI)];
      const terminated = -Math.cos(next[0]) - Math.cos(next[1] + next[0]) > 1;
      return { state: next, reward: terminated ? 0 : -1, terminated };
    },
  },

  "MountainCarContinuous-v0": {
    limit: 999, fps: 30, gravity: 0.0025,
    start: (random) => [uniform(random, -0.6, -0.4), 0],
    observe: (state) => state,
    step([position, velocity], action, { gravity, push, goal_velocity = 0 }) {
      const power = 0.0015;
      const force = clip(action[0], -1, 1) + push[0];
      velocity = clip(velocity + force * power - gravity * Math.cos(3 * position), -0.07, 0.07);
      position = clip(position + velocity, -1.2, 0.6);
      if (position === -1.2 && velocity < 0) velocity = 0;
      const terminated = position >= 0.45 && velocity >= goal_velocity;
      const reward = (terminated ? 100 : 0) - action[0] ** 2 * 0.1;
      return { state: [position, velocity].map(Math.fround), reward, terminated };       // Gymnasium keeps this state in float32
    },
  },
};

// ds/dt of two links, each 1 m and 1 kg with its centre of mass at half its length, after Sutton & Barto's book
function acrobot([theta1, theta2, dtheta1, dtheta2], torque, { gravity: g, push }) {
  const m1 = 1, m2 = 1, l1 = 1, lc1 = 0.5, lc2 = 0.5, I1 = 1, I2 = 1;
  const { cos, sin, PI } = Math;
  const d1 = m1 * lc1 ** 2 + m2 * (l1 ** 2 + lc2 ** 2 + 2 * l1 * lc2 * cos(theta2)) + I1 + I2;
  const d2 = m2 * (lc2 ** 2 + l1 * lc2 * cos(theta2)) + I2;
  const phi2 = m2 * lc2 * g * cos(theta1 + theta2 - PI / 2);
  const hand = l1 * (sin(theta1) * push[1] + cos(theta1) * push[0]);                      // r × F at the elbow
  const phi1 = -m2 * l1 * lc2 * dtheta2 ** 2 * sin(theta2) - 2 * m2 * l1 * lc2 * dtheta2 * dtheta1 * sin(theta2)
    + (m1 * lc1 + m2 * l1) * g * cos(theta1 - PI / 2) + phi2 - hand;
  const ddtheta2 = (torque + d2 / d1 * phi1 - m2 * l1 * lc2 * dtheta1 ** 2 * sin(theta2) - phi2) / (m2 * lc2 ** 2 + I2 - d2 ** 2 / d1);
  return [dtheta1, dtheta2, -(d2 * ddtheta2 + phi1) / d1, ddtheta2];
}

// one step of length dt of the classical fourth-order method
function rungeKutta(derivative, y, dt) {
  const along = (k, h) => y.map((yi, i) => yi + h * k[i]);
  const k1 = derivative(y), k2 = derivative(along(k1, dt / 2)), k3 = derivative(along(k2, dt / 2)), k4 = derivative(along(k3, dt));
  return y.map((yi, i) => yi + dt / 6 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]));
}
