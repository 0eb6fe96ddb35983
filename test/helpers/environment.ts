/**
 * Programs are run as users run them: the test runner's hooks must not run inside the daemon and the tools (they cost each node
 * process 100 ms, and one of an ordinary user fails with them).
 */

/** The environment without what the test runner put there, and with `extra`. */
export function cleanEnvironment(extra: Record<string, string> = {}): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && !/^_?TAP/.test(name) && name !== 'NODE_OPTIONS' && name !== 'NODE_V8_COVERAGE') environment[name] = value;
  }
  return {
    ...environment,
    LC_ALL: 'C.UTF-8',
    PYTHONDONTWRITEBYTECODE: '1',
    PYTHONFAULTHANDLER: '1',
    PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`,
    ...extra,
  };
}

/** The words of a command line, started by env(1): the runner adds its NODE_OPTIONS to whatever environment a child is given. */
export function cleanCommand(command: string, args: readonly string[], nodeOptions?: string): [command: string, args: string[]] {
  const option = nodeOptions === undefined ? ['-u', 'NODE_OPTIONS'] : [`NODE_OPTIONS=${nodeOptions}`];
  return ['/usr/bin/env', ['-u', '_TAPJS_PROCESSINFO_CWD_', ...option, command, ...args]];
}
