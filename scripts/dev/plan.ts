import type { Surroundings } from './surroundings.ts'

/** One way to get a Redis. They are tried in order; the last one always works. */
export type Way =
  | { kind: 'configured' }
  | { kind: 'local', binary: string }
  | { kind: 'install' }
  | { kind: 'container', engine: string }
  | { kind: 'degraded' }

export function ways ({ configured, binary, installable, engine }: Surroundings): Way[] {
  if (configured) return [{ kind: 'configured' }]
  if (binary !== null) return [{ kind: 'local', binary }, { kind: 'degraded' }]
  const rest: Way[] = [{ kind: 'degraded' }]
  if (engine !== null) rest.unshift({ kind: 'container', engine })
  if (installable) rest.unshift({ kind: 'install' })
  return rest
}

const installCommands: Record<string, string> = {
  brew: 'brew install redis',
  'apt-get': 'sudo apt-get install redis-server',
  dnf: 'sudo dnf install valkey',
  apk: 'sudo apk add redis',
  pacman: 'sudo pacman -S valkey',
  zypper: 'sudo zypper install redis'
}

/** The one command that brings a Redis to this machine. The service waits for it on `port`. */
export function installCommand (packageManager: string | null, port: number): string {
  return installCommands[packageManager ?? ''] ?? `docker run --rm -p 127.0.0.1:${port}:6379 redis:7`
}
