import dns from 'node:dns'
import type { LookupAddress, LookupOptions } from 'node:dns'
import type { Teardown } from './redis-server.ts'

type Answer = (error: NodeJS.ErrnoException | null, address?: string | LookupAddress[], family?: number) => void

/**
 * Names under a domain of the test's own, for everything in this process that connects by name: `net` and `tls` ask `dns.lookup` each
 * time. All names have the same address, or none.
 */
export class NameService {
  /** Null: the name does not exist. */
  address: string | null = '127.0.0.1'
  questions = 0
  readonly #domain: string

  constructor (domain: string) {
    this.#domain = domain
  }

  name (host: string): string { return `${host}.${this.#domain}` }

  install (t: Teardown): void {
    const { lookup } = dns
    const answering = (hostname: string, options: LookupOptions, answer: Answer) => {
      if (hostname.endsWith(`.${this.#domain}`)) process.nextTick(() => this.#answer(hostname, options, answer))
      else (lookup as (...args: unknown[]) => void)(hostname, options, answer)
    }
    dns.lookup = answering as unknown as typeof dns.lookup
    t.teardown(() => { if (dns.lookup as unknown === answering) dns.lookup = lookup })
  }

  #answer (hostname: string, { all }: LookupOptions, answer: Answer): void {
    const { address } = this
    this.questions++
    if (address === null) answer(Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: 'ENOTFOUND', syscall: 'getaddrinfo', hostname }))
    else if (all === true) answer(null, [{ address, family: 4 }])
    else answer(null, address, 4)
  }
}
