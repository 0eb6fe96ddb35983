import { addon } from '../../native/addon.js';

/**
 * Watches for SIGINT and SIGTERM in a command whose work does not return to the event loop, where Node would deliver them. Returns a
 * question to be asked now and then: was there one? A second signal ends the process at once.
 */
export function watchInterrupts(): () => boolean {
  addon.watchInterrupts();
  return () => addon.interrupted();
}
