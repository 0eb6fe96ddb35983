/** Functions that a call site names at most. */
const FRAMES = 12;

/**
 * Where in the engine a call to a medium came from, for recordings: the functions that led to it, the innermost first, one a line, as
 * `Log.append (…/journal/log.js:72:15)`. Media themselves (whose classes end in Pmem) are left out.
 */
export function callSite(): string {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = FRAMES + 4;
  const frames = (new Error('call site').stack ?? '').split('\n').slice(1);
  Error.stackTraceLimit = limit;
  const outside = frames.filter((frame) => !frame.includes('/pmem/') && !/^\s*at \w*Pmem\./.test(frame));
  return outside.slice(0, FRAMES).map((frame) => frame.trim().replace(/^at /, '')).join('\n');
}
