import { spawn } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'

export interface Outcome { code: number | null, stdout: string, stderr: string }

const DEADLINE_MS = 120_000

/** Docker's command line, or what DOCKER names. Never rejects because of an exit code. */
export async function attempt (args: string[], { deadlineMs = DEADLINE_MS, env = {} as NodeJS.ProcessEnv } = {}): Promise<Outcome> {
  const child = spawn(process.env.DOCKER ?? 'docker', args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'], timeout: deadlineMs })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) child[name].setEncoding('utf8').on('data', (text: string) => { output[name] += text })
  return await new Promise((resolve, reject) => {
    child.on('error', reject).on('close', code => resolve({ code, stdout: output.stdout.trim(), stderr: output.stderr.trim() }))
  })
}

/** @returns standard output. @throws when the exit code is not 0. */
export async function docker (args: string[], options = {}): Promise<string> {
  const { code, stdout, stderr } = await attempt(args, options)
  if (code !== 0) throw new Error(`docker ${args[0]} ended with ${code}: ${stderr || stdout}`)
  return stdout
}

export async function inspect (name: string): Promise<any> {
  return JSON.parse(await docker(['inspect', name]))[0]
}

export interface Stopped { exitCode: number, ms: number }

/** `docker stop`, as an orchestrator does it: SIGTERM, and SIGKILL (exit code 137) after ten seconds. */
export async function stop (name: string): Promise<Stopped> {
  const start = performance.now()
  await docker(['stop', name])
  return { exitCode: (await inspect(name)).State.ExitCode, ms: Math.round(performance.now() - start) }
}

/** @returns milliseconds until `ask` was true. @throws after the deadline. */
export async function until (what: string, ask: () => Promise<boolean>, deadlineMs = 60_000): Promise<number> {
  const start = performance.now()
  while (performance.now() - start < deadlineMs) {
    if (await ask().catch(() => false)) return Math.round(performance.now() - start)
    await delay(20)
  }
  throw new Error(`${what}: not within ${deadlineMs} ms`)
}
