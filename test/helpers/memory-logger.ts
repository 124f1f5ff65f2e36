import type { Logger } from '../../services/observability/logger.ts'

export interface MemoryLogger extends Logger {
  readonly lines: { level: string, details: any, message: string }[]
  /** The messages of one level, in order. */
  of (level: string): string[]
}

/** A logger whose lines a test can count. */
export function memoryLogger (): MemoryLogger {
  const lines: MemoryLogger['lines'] = []
  const at = (level: string) => (details: object, message: string) => { lines.push({ level, details, message }) }
  return {
    lines,
    of: (level) => lines.filter((line) => line.level === level).map(({ message }) => message),
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error')
  }
}
