import type { Redis } from 'ioredis'
import type { RedisGuard } from '../../../../services/redis/guard.ts'
import type { Account, Call } from './account.ts'
import type { World } from './worlds.ts'

/** A guard under examination, and what is known of it. */
export class Subject {
  readonly world: World
  readonly guard: RedisGuard
  readonly account: Account
  readonly commandTimeoutMs: number
  /** Calls that wait on the server. */
  blocked: Call[] = []
  /** The call that waits for ever had ended when the fault did. */
  blockedAtEnd = false
  subscriber: Redis | null = null
  /** By the subscriber. */
  heard = ''
  deliveredMs: number | null = null
  /** Resolves when commands work again. */
  recovered: Promise<unknown> = Promise.resolve()

  constructor (world: World, guard: RedisGuard, account: Account, commandTimeoutMs: number) {
    this.world = world
    this.guard = guard
    this.account = account
    this.commandTimeoutMs = commandTimeoutMs
  }

  write (): Call {
    const id = this.account.nextId()
    return this.account.track('a write', this.guard.client.rpush(this.account.key, id), { ids: [id] })
  }

  read (): Call {
    return this.account.track('a read', this.guard.client.llen(this.account.key))
  }
}
