import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import type { Fault as PathFault } from '../../../helpers/fault-proxy.ts'
import { startRedis } from '../../../helpers/redis-server.ts'
import type { RedisServer, Teardown } from '../../../helpers/redis-server.ts'
import { expiredCertificate, makeCertificates } from '../../../helpers/tls-certificates.ts'
import { until } from '../../../helpers/until.ts'
import { PASSWORD, slowLoading, USER } from './worlds.ts'
import type { World } from './worlds.ts'

/** What goes wrong, between the client and the servers or at the server that has the keys. */
export interface Fault {
  name: string
  /** What the client talks: over TLS, or by name. Default plain, by address. */
  needs?: 'tls' | 'names'
  /** It befalls what is on its way; otherwise what is on its way meets a server in trouble. */
  path?: true
  /** What takes time, done before it counts. */
  prepare? (world: World, t: Teardown): Promise<unknown>
  /** `outageMs`: for those that end by themselves. */
  begin (world: World, outageMs: number): Promise<unknown> | unknown
  /** Resolves when it is over for the servers and the path: from here on the recovery counts. */
  end (world: World): Promise<unknown> | unknown
  /** Whether it ends without being ended, after `outageMs`. */
  endsItself?: true
  /** So that the next one finds the world as it was. */
  restore? (world: World): unknown
}

const everywhere = (name: string, fault: PathFault): Fault => ({
  name,
  path: true,
  begin: ({ proxies }) => { for (const proxy of proxies) proxy.fault = fault },
  end: ({ proxies }) => { for (const proxy of proxies) proxy.fault = 'pass' }
})

const configured = (name: string, setting: string, during: string, after: string): Fault => ({
  name,
  begin: async (world) => await (await world.primary()).cli('config', 'set', setting, during),
  end: async (world) => await (await world.primary()).cli('config', 'set', setting, after)
})

const onAll = async (world: World, ...command: string[]) => {
  await Promise.all(world.servers.map((server) => server.cli(...command)))
}
const disconnectClients = (world: World) => onAll(world, 'client', 'kill', 'user', USER)

const present = async (world: World, { certFile, keyFile }: { certFile: string, keyFile: string }) => {
  await onAll(world, 'config', 'set', 'tls-cert-file', certFile, 'tls-key-file', keyFile)
}
/** From now on new connections see another certificate, and there are only new ones. */
function certificate (name: string, make: (t: Teardown, world: World) => Promise<{ certFile: string, keyFile: string }>): Fault {
  const made = new WeakMap<World, { certFile: string, keyFile: string }>()
  return {
    name,
    needs: 'tls',
    prepare: async (world, t) => { if (!made.has(world)) made.set(world, await make(t, world)) },
    async begin (world) {
      await present(world, made.get(world)!)
      await disconnectClients(world)
    },
    end: (world) => present(world, world.certificates!)
  }
}

/** A node of a cluster says for two seconds after its start that the cluster is down. */
async function answers (world: World): Promise<void> {
  const server = await world.primary()
  await until(() => server.cli('llen', world.key('none')).then(() => true, () => false))
}

/** Whatever it was started as. */
const asPrimary = ['--replicaof', 'no', 'one']
const plainServers = new WeakMap<World, RedisServer>()
const occupants = new WeakMap<World, Redis>()

export const faults: readonly Fault[] = [
  everywhere('refused', 'refuse'),
  everywhere('reset', 'reset'),
  everywhere('black hole', 'blackhole'),
  everywhere('replies lost', 'swallow-replies'),
  everywhere('requests lost', 'swallow-requests'),
  everywhere('late', 'stall'),
  everywhere('accepts, silent', 'accept-silent'),
  everywhere('accepts, closes', 'hang-up'),
  everywhere('slow drip', 'drip'),
  everywhere('garbage', 'corrupt'),
  {
    name: 'one reply lost',
    path: true,
    begin: ({ proxies }) => {
      for (const proxy of proxies) {
        proxy.dropReplies(1)
        proxy.fault = 'pass'
      }
    },
    end: ({ proxies }) => { for (const proxy of proxies) proxy.dropReplies(0) }
  },
  {
    name: 'these connections dead',
    path: true,
    begin: ({ proxies }) => {
      for (const proxy of proxies) {
        proxy.fault = 'pass'
        proxy.afflict('blackhole')
      }
    },
    end: () => {}
  },
  {
    name: 'killed',
    begin: async (world) => { await (await world.primary()).kill() },
    async end (world) {
      await (await world.primary()).restart(asPrimary)
      await answers(world)
    }
  },
  {
    name: 'frozen',
    begin: async (world) => { (await world.primary()).freeze() },
    end: async (world) => { (await world.primary()).thaw() }
  },
  {
    name: 'LOADING',
    endsItself: true,
    async begin (world, outageMs) {
      const server = await world.primary()
      await server.kill()
      await server.restart([...asPrimary, ...slowLoading(outageMs)])
    },
    end: answers
  },
  { name: 'READONLY by failover', begin: (world) => world.failOver(), end: (world) => world.finishFailOver() },
  configured('OOM', 'maxmemory', '1', '0'),
  {
    name: 'MISCONF',
    async prepare (world) {
      await onAll(world, 'config', 'set', 'save', '3600 1000000')
    },
    async begin (world) {
      const server = await world.primary()
      // Nothing can be renamed to a directory.
      await rm(join(server.directory, 'dump.rdb'), { recursive: true, force: true })
      await mkdir(join(server.directory, 'dump.rdb'))
      await until(() => server.cli('bgsave').then(() => true, () => false))
      await until(async () => /rdb_last_bgsave_status:err/.test(await server.cli('info', 'persistence')))
    },
    async end (world) {
      await rm(join((await world.primary()).directory, 'dump.rdb'), { recursive: true })
      await onAll(world, 'config', 'set', 'save', '')
    },
    async restore (world) {
      const server = await world.primary()
      await until(async () => {
        await server.cli('bgsave').catch(() => {})
        return /rdb_last_bgsave_status:ok/.test(await server.cli('info', 'persistence'))
      })
    }
  },
  configured('NOREPLICAS', 'min-replicas-to-write', '5', '0'),
  {
    name: 'BUSY',
    async begin (world) {
      const server = await world.primary()
      void server.cli('eval', 'while true do end', 0).catch(() => {})
      await until(() => server.cli('llen', world.key('none')).then(() => false, (error) => /BUSY/.test(String(error))))
    },
    end: async (world) => await (await world.primary()).cli('script', 'kill')
  },
  {
    name: 'max clients',
    async prepare (world) {
      const { host, port } = await world.primary()
      const occupant = new Redis({ host, port, lazyConnect: true })
      await occupant.connect()
      occupants.set(world, occupant)
    },
    async begin (world) {
      await occupants.get(world)!.config('SET', 'maxclients', 1)
      await occupants.get(world)!.client('KILL', 'USER', USER)
    },
    async end (world) {
      await occupants.get(world)!.config('SET', 'maxclients', 10_000)
      occupants.get(world)!.disconnect()
    }
  },
  {
    name: 'WRONGPASS',
    async begin (world) {
      await onAll(world, 'acl', 'setuser', USER, 'resetpass', '>other')
      await disconnectClients(world)
    },
    end: (world) => onAll(world, 'acl', 'setuser', USER, `>${PASSWORD}`)
  },
  {
    name: 'user removed',
    begin: (world) => onAll(world, 'acl', 'deluser', USER),
    end: (world) => onAll(world, 'acl', 'setuser', USER, 'on', `>${PASSWORD}`, '~*', '&*', '+@all')
  },
  {
    name: 'command forbidden',
    begin: (world) => onAll(world, 'acl', 'setuser', USER, '-rpush'),
    end: (world) => onAll(world, 'acl', 'setuser', USER, '+rpush')
  },
  certificate('TLS: unknown authority', (t) => makeCertificates(t)),
  certificate('TLS: expired', (t, world) => expiredCertificate(t, world.certificates!)),
  {
    name: 'TLS: plain server',
    needs: 'tls',
    path: true,
    async prepare (world, t) {
      if (!plainServers.has(world)) plainServers.set(world, await startRedis(t))
    },
    begin: (world) => {
      for (const proxy of world.proxies) {
        proxy.divert(plainServers.get(world)!.port)
        proxy.fault = 'pass'
      }
    },
    end: (world) => { for (const proxy of world.proxies) proxy.divert(null) }
  },
  {
    name: 'DNS: unknown name',
    needs: 'names',
    path: true,
    begin: ({ names, proxies }) => {
      names.address = null
      for (const proxy of proxies) {
        proxy.cut()
        proxy.fault = 'pass'
      }
    },
    end: ({ names }) => { names.address = '127.0.0.1' }
  },
  {
    name: 'DNS: another address',
    needs: 'names',
    path: true,
    begin: ({ proxies }) => { for (const proxy of proxies) proxy.fault = 'refuse' },
    end: ({ names, proxies }) => {
      names.address = '127.0.0.2'
      for (const proxy of proxies) {
        proxy.moveTo(names.address)
        proxy.fault = 'pass'
      }
    },
    restore ({ names, proxies }) {
      names.address = '127.0.0.1'
      for (const proxy of proxies) proxy.moveTo(names.address)
    }
  }
]
