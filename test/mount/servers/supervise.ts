/** Mounts with a server of the test's own: `supervise.js CONTROL PLAN`. The output is the log; a line `ready` says that it is mounted. */
import { fileURLToPath } from 'node:url';
import type { MountPlan } from '../../../src/daemon/plan.js';
import { Supervisor } from '../../../src/daemon/supervisor.js';
import type { LogFunction } from '../../../src/fuse/log.js';

const [control = '', plan = 'null'] = process.argv.slice(2);
const server = fileURLToPath(new URL('mortal.js', import.meta.url));
// Every line, however often it comes.
const log: LogFunction = (level, message) => process.stderr.write(`${level}: ${message}\n`);
const supervisor = await Supervisor.start(JSON.parse(plan) as MountPlan, log, { command: process.execPath, args: [server, control] });
process.on('SIGTERM', () => void supervisor.shutDown('SIGTERM'));
process.stderr.write('ready\n');
process.exit(await supervisor.run());
