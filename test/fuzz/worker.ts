/** A thread of a campaign: runs the seeds it is given, and says which one it is at, so that one without an end is known. */
import { parentPort } from 'node:worker_threads';
import { reportOf } from './trial.js';

parentPort?.on('message', ([start, end]: [number, number]) => {
  for (let seed = start; seed < end; seed += 1) {
    parentPort?.postMessage({ at: seed });
    parentPort?.postMessage(reportOf(seed));
  }
});
