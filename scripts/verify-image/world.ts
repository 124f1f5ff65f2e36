import { randomBytes } from 'node:crypto'
import { attempt, docker } from './docker.ts'

export interface Images { service: string, redis: string, postgres: string }

/** Containers, volumes and a network with names of their own, which all go at the end. */
export class World {
  readonly images: Images
  readonly name = `breakwater-verify-${randomBytes(4).toString('hex')}`
  readonly #containers: string[] = []
  readonly #volumes: string[] = []
  #counter = 0

  constructor (images: Images) {
    this.images = images
  }

  async open (): Promise<void> {
    await docker(['network', 'create', this.name])
  }

  /** Starts a container in the background. @returns its name, which is its host name for the others. */
  async run (image: string, options: string[], command: string[] = []): Promise<string> {
    const name = `${this.name}-${++this.#counter}`
    this.#containers.push(name)
    await docker(['run', '--detach', '--name', name, '--network', this.name, ...options, image, ...command])
    return name
  }

  async volume (): Promise<string> {
    const name = `${this.name}-${++this.#counter}`
    this.#volumes.push(name)
    await docker(['volume', 'create', name])
    return name
  }

  async close (): Promise<void> {
    for (const container of this.#containers) await attempt(['rm', '--force', '--volumes', container])
    for (const volume of this.#volumes) await attempt(['volume', 'rm', volume])
    await attempt(['network', 'rm', this.name])
  }
}

/** As strict as a container can be run: nothing may be written but the volume. */
export const strict = ['--read-only', '--cap-drop=ALL', '--security-opt=no-new-privileges', '--user=10001:10001', '--memory=512m', '--pids-limit=100']
