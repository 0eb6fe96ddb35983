/** Functions that a call site names at most. */
const FRAMES = 12;
/** Frames of media that may lie above the first of them. */
const MEDIA_FRAMES = 4;

/**
 * Where in the engine a call to a medium came from, for recordings: the functions that led to it, the innermost first, one a line, as
 * `Log.append (…/journal/log.js:72:15)`. Media themselves (in `pmem`, or with classes that end in Pmem) are left out. The names are those of the
 * compiled code, also where Node maps traces to the sources: that gives other names to functions inside functions.
 */
export function callSite(): string {
  const { stackTraceLimit } = Error;
  const formatter: unknown = Reflect.get(Error, 'prepareStackTrace');
  Error.stackTraceLimit = FRAMES + MEDIA_FRAMES;
  Error.prepareStackTrace = describe;
  const site = new Error('call site').stack ?? '';
  Reflect.set(Error, 'prepareStackTrace', formatter);
  Error.stackTraceLimit = stackTraceLimit;
  return site;
}

function describe(_error: Error, frames: readonly NodeJS.CallSite[]): string {
  const outside = frames.filter((frame) => !isMedium(frame));
  return outside.slice(0, FRAMES).map(String).join('\n');
}

function isMedium(frame: NodeJS.CallSite): boolean {
  return frame.getFileName()?.includes('/pmem/') === true || frame.getTypeName()?.endsWith('Pmem') === true;
}
