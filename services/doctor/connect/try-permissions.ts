import { randomUUID } from 'node:crypto'
import { slotKey } from '../../queue/keys.ts'
import type { Permission, PermissionResult } from './permissions.ts'
import type { Session } from './session.ts'

/**
 * Asks the server, without executing anything, whether the caller may run each command. Names of keys are passed as arguments: in a cluster
 * they may be in slots of other nodes. Redis ≥ 7.0, Valkey.
 *
 * ARGV  for each command: how many words it has, and the words
 * Returns 1 or 0 for each, or nothing where the server cannot tell.
 * @see https://redis.io/docs/latest/develop/programmability/lua-api/#redis.acl_check_cmd
 */
const ASK = `
if type(redis.acl_check_cmd) ~= 'function' then return false end
local reply, at = {}, 1
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  local words = {}
  for i = 1, count do words[i] = ARGV[at + i] end
  local known, allowed = pcall(redis.acl_check_cmd, unpack(words))
  reply[#reply + 1] = (known and allowed) and 1 or 0
  at = at + count + 1
end
return reply
`

/** What may be tried on keys of its own; all of it together leaves nothing behind. */
const TRIALS: Record<string, (list: string, hash: string, sorted: string) => string[]> = {
  LPUSH: (list) => [list, 'doctor'],
  RPUSH: (list) => [list, 'doctor'],
  LLEN: (list) => [list],
  LRANGE: (list) => [list, '0', '0'],
  LMOVE: (list) => [list, list, 'RIGHT', 'LEFT'],
  BLMOVE: (list) => [list, list, 'RIGHT', 'RIGHT', '0.01'],
  LREM: (list) => [list, '0', 'doctor'],
  HSET: (_list, hash) => [hash, 'doctor', '1'],
  HGET: (_list, hash) => [hash, 'doctor'],
  HMGET: (_list, hash) => [hash, 'doctor'],
  HSCAN: (_list, hash) => [hash, '0'],
  HDEL: (_list, hash) => [hash, 'doctor'],
  ZADD: (_list, _hash, sorted) => [sorted, '1', 'doctor'],
  ZCARD: (_list, _hash, sorted) => [sorted],
  ZRANGE: (_list, _hash, sorted) => [sorted, '0', '0'],
  ZRANGEBYSCORE: (_list, _hash, sorted) => [sorted, '0', '1'],
  ZREM: (_list, _hash, sorted) => [sorted, 'doctor'],
  EXISTS: (list) => [list],
  TIME: () => []
}

export async function tryPermissions (session: Session, queue: string, permissions: readonly Permission[]): Promise<PermissionResult[]> {
  const words = permissions.flatMap(({ command, args }) => [args.length + 1, command, ...args])
  const answer = await session.call('eval', ASK, 0, ...words).catch(refusal)
  const result = (index: number, allowed: boolean | null): PermissionResult => {
    const { command, subject, purpose } = permissions[index]!
    return { command, subject, purpose, allowed }
  }
  if (Array.isArray(answer)) return permissions.map((_permission, index) => result(index, answer[index] === 1))
  const scripts = answer !== 'NOPERM'
  const tried = await trials(session, queue)
  return permissions.map(({ command }, index) => result(index, /^EVAL/.test(command) ? scripts : tried.get(command) ?? null))
}

/** On keys that nobody else has, in the queue's slot. What was pushed is removed by the trials of LREM, HDEL and ZREM, or expires. */
async function trials (session: Session, queue: string): Promise<Map<string, boolean | null>> {
  const id = randomUUID()
  const keys = ['list', 'hash', 'sorted'].map((kind) => slotKey(queue, `doctor:${id}:${kind}`)) as [string, string, string]
  const results = new Map<string, boolean | null>()
  for (const [command, args] of Object.entries(TRIALS)) {
    const reply = await session.call(command, ...args(...keys)).catch(refusal)
    results.set(command, reply === 'NOPERM' ? false : reply === 'NOPERM-KEY' ? null : true)
  }
  for (const key of keys) await session.call('del', key).catch(() => {})
  return results
}

/** Anything but a refusal by the ACL was permitted. A refusal of these keys says nothing about others. */
function refusal (err: Error): 'NOPERM' | 'NOPERM-KEY' | null {
  if (err.name !== 'ReplyError') throw err
  if (!err.message.startsWith('NOPERM')) return null
  return /\bkeys?\b/.test(err.message) ? 'NOPERM-KEY' : 'NOPERM'
}
