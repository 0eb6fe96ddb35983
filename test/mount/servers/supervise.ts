/** Mounts with a server of the test's own: `supervise.js CONTROL PLAN`. The output is the log; a line `ready` says that it is mounted. */
import { fileURLToPath } from 'node:url';
import { makeLog } from '../../../src/daemon/log.js';
import type { MountPlan } from '../../../src/daemon/plan.js';
import { Supervisor } from '../../../src/daemon/supervisor.js';

const [control = '', plan = 'null'] = process.argv.slice(2);
const server = fileURLToPath(new URL('mortal.js', import.meta.url));
const log = makeLog({ target: 'stderr', debug: false });
const supervisor = await Supervisor.start(JSON.parse(plan) as MountPlan, log, { command: process.execPath, args: [server, control] });
process.on('SIGTERM', () => void supervisor.shutDown('SIGTERM'));
process.stderr.write('ready\n');
process.exit(await supervisor.run());
