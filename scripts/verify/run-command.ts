import { spawn } from 'node:child_process'

/** Runs a line of the user's shell; what it prints goes to standard error. Resolves with null, or with why it failed. Never rejects. */
export async function runCommand (command: string, timeoutMs: number): Promise<string | null> {
  // A group of its own: Ctrl-C must not end what ends the outage, and a deadline must reach what the shell started.
  const child = spawn('sh', ['-c', command], { stdio: ['ignore', 2, 2], detached: true })
  let late = false
  const timer = setTimeout(() => {
    late = true
    try {
      process.kill(-child.pid!, 'SIGKILL')
    } catch {
      // It ended at the same moment.
    }
  }, timeoutMs)
  try {
    return await new Promise((resolve) => {
      child.once('error', (err) => resolve(err.message))
      child.once('exit', (code, signal) => resolve(late ? `not done within ${timeoutMs / 1000} s` : code === 0 ? null : `ended with ${signal ?? code}`))
    })
  } finally {
    clearTimeout(timer)
  }
}
