import { spawnSync } from 'node:child_process'
import { findPostgresBinaries } from '../test/helpers/postgres-server.ts'
import { complete } from './dev/processes.ts'
import { disposable, findOnPath, findServer } from './dev/surroundings.ts'

const INSTALL_DEADLINE_MS = 180_000
const PYTHONS = ['/usr/bin/python3', 'python3']

/** The Debian packages that the tests need and this machine lacks. */
export function missingPackages (env: NodeJS.ProcessEnv): string[] {
  const present: [debianPackage: string, isHere: boolean][] = [
    ['redis-server', findServer(env) !== null],
    ['postgresql', findPostgresBinaries() !== null],
    ['chromium', findOnPath('chromium', env) !== null],
    ['python3-redis', PYTHONS.some(name => spawnSync(name, ['-c', 'import redis'], { env }).status === 0)]
  ]
  return present.filter(([, isHere]) => !isHere).map(([name]) => name)
}

/**
 * Installs them where that is nobody's own machine: as root on Debian, in a container or in CI. Elsewhere it says what to
 * install. The tests then start their servers in containers, and those that need Python or Chromium fail with the same hint.
 */
export async function provide (packages: string[], env: NodeJS.ProcessEnv, isDisposable = disposable): Promise<void> {
  if (packages.length === 0) return
  const mayInstall = process.getuid?.() === 0 && findOnPath('apt-get', env) !== null && isDisposable(env)
  if (!mayInstall) return console.log(`Missing here: sudo apt-get install ${packages.join(' ')}`)
  console.log(`Installing ${packages.join(' ')}: this is a container or CI, and we are root.`)
  // RUNLEVEL=1 keeps the package from starting a server of its own.
  const quiet = { ...env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
  try {
    await complete('apt-get', ['update', '-qq'], quiet, INSTALL_DEADLINE_MS)
    await complete('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], quiet, INSTALL_DEADLINE_MS)
  } catch (err) {
    console.log(`${(err as Error).message}; going on without`)
  }
}
