/** How much a message matters, in the words of syslog(3). */
export type LogLevel = 'error' | 'warning' | 'info' | 'debug';

/** Where the lower layers send what a person should know. One line per message, without a time. */
export type LogFunction = (level: LogLevel, message: string) => void;
