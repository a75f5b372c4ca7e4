import { DefaultLogger, type Logger, type LogLevel } from '@temporalio/worker';
import { pino } from 'pino';
import type { Settings } from '../config/settings.ts';

const LEVELS: Readonly<Record<LogLevel, 'trace' | 'debug' | 'info' | 'warn' | 'error'>> = {
  TRACE: 'trace',
  DEBUG: 'debug',
  INFO: 'info',
  WARN: 'warn',
  ERROR: 'error',
};

/** Logs for machines, one JSON object a line, or for a person; Temporal's own go the same way. */
export function createLogger(settings: Settings): Logger {
  const pretty = settings.HOLDFAST_LOG_FORMAT === 'pretty';
  const log = pino({ level: settings.HOLDFAST_LOG_LEVEL, base: null, timestamp: pino.stdTimeFunctions.isoTime });
  return new DefaultLogger(settings.HOLDFAST_LOG_LEVEL.toUpperCase() as LogLevel, ({ level, message, meta }) => {
    if (pretty)
      process.stderr.write(
        `${new Date().toISOString()} ${level.padEnd(5)} ${message}${meta === undefined ? '' : ` ${JSON.stringify(meta, readable)}`}\n`,
      );
    else log[LEVELS[level]](JSON.parse(JSON.stringify(meta ?? {}, readable)), message);
  });
}

/** Errors say nothing in JSON by themselves, and big integers cannot be written at all. */
const readable = (_: string, value: unknown): unknown => {
  if (value instanceof Error) return { name: value.name, message: value.message, stack: value.stack };
  return typeof value === 'bigint' ? String(value) : value;
};
