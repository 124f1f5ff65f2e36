import { spawnSync } from 'node:child_process'

/**
 * What a test does to a server, done to its container, through the engine's command line: at once, so that the next line of the test meets it.
 * testcontainers has no pause, its `stop()` works once, and a signal from inside never stops the first process of a container.
 */
export class ContainerControl {
  readonly #id: string

  constructor (id: string) {
    this.#id = id
  }

  /** The kernel goes on accepting connections, nothing is answered. */
  freeze (): void { this.#engine('pause') }

  thaw (): void { this.#engine('unpause') }

  /** SIGKILL, also while it is frozen. */
  kill (): void {
    this.#engine('unpause')
    this.#engine('kill')
  }

  /** As its own documentation asks a server to stop. */
  stop (): void { this.#engine('stop') }

  /** Starts again on the same port with the same data. @throws when it cannot. */
  start (): void {
    const { status, stderr } = this.#engine('start')
    if (status !== 0) throw new Error(`the container does not start again: ${stderr}`)
  }

  remove (): void { this.#engine('rm', '--force', '--volumes') }

  #engine (...command: string[]) {
    const outcome = spawnSync('docker', [...command, this.#id], { encoding: 'utf8', timeout: 30_000 })
    if (outcome.error) throw outcome.error
    return outcome
  }
}
