import { connect as connectTcp, Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { AbstractConnector } from 'ioredis'
import type { RedisOptions } from 'ioredis'
import { RedisConnectionFailed } from '../errors.ts'
import type { PrimaryResolver } from './primary-resolver.ts'

type ConnectorClass = NonNullable<RedisOptions['Connector']>

/** How ioredis connects: to wherever the sentinels say, asked anew for each attempt. A failure is a broken socket, so that it tries again. */
export function sentinelConnector (resolver: PrimaryResolver, connectTimeoutMs: number): ConnectorClass {
  return class extends AbstractConnector {
    readonly #options: RedisOptions

    constructor (options: unknown) {
      super((options as RedisOptions).disconnectTimeout ?? 100)
      this.#options = options as RedisOptions
    }

    override async connect (): Promise<Socket> {
      this.connecting = true
      delete this.firstError
      const stream = await this.#open()
      this.stream = stream
      return stream
    }

    async #open (): Promise<Socket> {
      try {
        const { host, port } = await resolver.resolve()
        return this.connecting ? this.#dial(host, port) : broken()
      } catch (error) {
        this.firstError = error as Error
        return broken()
      }
    }

    #dial (host: string, port: number): Socket {
      const { tls, family } = this.#options
      const address = { host, port, ...family === undefined ? {} : { family } }
      const socket = tls === undefined ? connectTcp(address) : connectTls({ ...address, ...tls })
      const timer = setTimeout(() => socket.destroy(new RedisConnectionFailed('timeout', 'CONNECT_TIMEOUT')), connectTimeoutMs)
      timer.unref()
      for (const event of [tls === undefined ? 'connect' : 'secureConnect', 'close']) socket.once(event, () => clearTimeout(timer))
      socket.once('error', (error) => { this.firstError = error })
      return socket
    }
  }
}

function broken (): Socket {
  return new Socket().destroy()
}
