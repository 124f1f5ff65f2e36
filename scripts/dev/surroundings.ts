import { spawn } from 'node:child_process'
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** What `npm run dev` finds on this machine. Gathered once, so that the decision is a pure function. */
export interface Surroundings {
  /** The environment already names a Redis. */
  configured: boolean
  /** `redis-server` or `valkey-server`, or null where neither is on the PATH. */
  binary: string | null
  /** Root on Debian in a container or in CI: nobody's laptop, so a package may be installed. */
  installable: boolean
  /** A container engine that answers. */
  engine: string | null
  /** The system's package manager, for a hint. */
  packageManager: string | null
}

export const packageManagers = ['brew', 'apt-get', 'dnf', 'apk', 'pacman', 'zypper']

const ENGINE_DEADLINE_MS = 3000

export async function look (env: NodeJS.ProcessEnv, isDisposable = disposable): Promise<Surroundings> {
  const configured = Boolean(env.REDIS_URL?.trim() || env.REDIS_HOST?.trim())
  const binary = findServer(env)
  return {
    configured,
    binary,
    installable: process.getuid?.() === 0 && findOnPath('apt-get', env) !== null && isDisposable(env),
    // Asking an engine takes time: only when its answer can matter.
    engine: configured || binary !== null ? null : await findEngine(env),
    packageManager: packageManagers.find(name => findOnPath(name, env) !== null) ?? null
  }
}

export function findServer (env: NodeJS.ProcessEnv): string | null {
  return findOnPath('redis-server', env) ?? findOnPath('valkey-server', env)
}

/** A machine that is thrown away after use: a container, or a CI job. */
export function disposable (env: NodeJS.ProcessEnv): boolean {
  return env.CI === 'true' || Boolean(env.container) || existsSync('/.dockerenv') || existsSync('/run/.containerenv')
}

export function findOnPath (name: string, env: NodeJS.ProcessEnv): string | null {
  const folders = (env.PATH ?? '').split(delimiter).filter(folder => folder !== '')
  return folders.map(folder => join(folder, name)).find(isExecutable) ?? null
}

function isExecutable (file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return statSync(file).isFile()
  } catch {
    return false
  }
}

async function findEngine (env: NodeJS.ProcessEnv): Promise<string | null> {
  for (const name of ['docker', 'podman']) {
    const file = findOnPath(name, env)
    if (file !== null && await succeeds(file, ['info', '--format', '{{.ServerVersion}}'], env)) return file
  }
  return null
}

function succeeds (file: string, args: string[], env: NodeJS.ProcessEnv): Promise<boolean> {
  return new Promise(resolve => {
    spawn(file, args, { env, stdio: 'ignore', timeout: ENGINE_DEADLINE_MS, killSignal: 'SIGKILL' })
      .on('error', () => resolve(false))
      .on('exit', code => resolve(code === 0))
  })
}
