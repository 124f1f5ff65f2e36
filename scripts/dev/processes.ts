import { spawn } from 'node:child_process'
import type { ChildProcess, SpawnOptions } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'

/**
 * Starts a process in a group of its own: Ctrl-C in a terminal goes to the whole foreground group, and Redis must not
 * end before the service has flushed.
 */
export async function start (file: string, args: string[], options: SpawnOptions): Promise<ChildProcess> {
  const child = spawn(file, args, { ...options, detached: true })
  await once(child, 'spawn')
  return child
}

/** SIGTERM, then SIGKILL when that was not enough. @returns the exit code, null after a signal. */
export async function end (child: ChildProcess, deadlineMs = 10_000): Promise<number | null> {
  if (isRunning(child)) {
    const exited = once(child, 'exit')
    child.kill('SIGTERM')
    const timer = setTimeout(() => { child.kill('SIGKILL') }, deadlineMs)
    await exited
    clearTimeout(timer)
  }
  return child.exitCode
}

export function isRunning (child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}

/** Runs a command to its end, its output on standard error. Rejects when it fails or is not done in time. */
export async function complete (file: string, args: string[], env: NodeJS.ProcessEnv, deadlineMs: number): Promise<void> {
  const child = spawn(file, args, { env, stdio: ['ignore', 2, 2], timeout: deadlineMs, killSignal: 'SIGKILL' })
  const [code, signal] = await once(child, 'exit')
  if (signal !== null) throw new Error(`${file} ${args[0]} was not done after ${deadlineMs} ms`)
  if (code !== 0) throw new Error(`${file} ${args[0]} exited with ${code}`)
}

/** `preferred` when nobody listens there, else any port that is free. */
export async function choosePort (preferred: number): Promise<number> {
  const server = createServer()
  try {
    server.listen(preferred, '127.0.0.1')
    await once(server, 'listening')
  } catch {
    return await choosePort(0)
  }
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}
