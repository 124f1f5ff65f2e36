import { createReadStream, existsSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { readDeadLetter } from '../../services/queue/read-dead-letter.ts'
import { watermarkKey } from '../../services/relay/transport/redis-transport.ts'
import type { RedisServer } from '../../test/helpers/redis-server.ts'
import { readElement } from './elements.ts'
import type { Element } from './elements.ts'
import { History } from './history.ts'
import { shortId } from './ledger.ts'
import type { Ledger } from './ledger.ts'
import { writerName } from './models.ts'
import { key } from './oracle.ts'
import type { Segment } from './redis-pair.ts'
import { QUEUE } from './world.ts'

const CHUNK = 2000
const PAGE = 200
const ATTEMPTS = 6
const READERS = 6

interface Page { items: { version: string, message_id: string }[], next_cursor: string | null }

export function readHistory (segments: readonly Segment[]): History {
  const history = new History(QUEUE, watermarkKey(QUEUE))
  for (const { directory, fresh } of segments) history.follow(directory, fresh)
  return history
}

/** Where a message can be in Redis: the queue, oldest first, and all other places; what cannot be read is a problem. */
export async function readRedis (redis: RedisServer, problems: string[]): Promise<{ queue: Element[], elsewhere: Element[] }> {
  const parse = (bodies: string[]) => bodies.flatMap((body) => {
    const element = readElement(body)
    if (typeof element !== 'string') return [element]
    problems.push(`ghost: ${element}`)
    return []
  })
  const elsewhere: Element[] = []
  for (const name of [`${QUEUE}:processing`, `{${QUEUE}}:processing`]) elsewhere.push(...parse(await readList(redis, name)))
  for (const name of [`${QUEUE}:dlq`, `{${QUEUE}}:dlq`]) {
    const letters = await readList(redis, name)
    elsewhere.push(...parse(letters.map((letter) => readDeadLetter(Buffer.from(letter)).original.toString())))
  }
  const delayed: string[] = await redis.cli('zrange', `{${QUEUE}}:delayed`, 0, -1)
  // A member is the token of its delivery, a colon, and the message.
  elsewhere.push(...parse(delayed.map((member) => member.slice(member.indexOf(':') + 1))))
  return { queue: parse(await readList(redis, QUEUE)), elsewhere }
}

async function readList (redis: RedisServer, name: string): Promise<string[]> {
  const length: number = await redis.cli('llen', name)
  const bodies: string[] = []
  for (let end = length - 1; end >= 0; end -= CHUNK) {
    bodies.push(...(await redis.cli('lrange', name, Math.max(0, end - CHUNK + 1), end)).reverse())
  }
  return bodies
}

/** How often each message was handled, from what the consumers wrote down. */
export async function readHandled (file: string): Promise<Map<string, number>> {
  const handled = new Map<string, number>()
  if (!existsSync(file)) return handled
  for await (const line of createInterface({ input: createReadStream(file) })) handled.set(line, (handled.get(line) ?? 0) + 1)
  return handled
}

/** Every row of every writer, through the API of these services, page by page, some writers at a time. */
export async function readRows (urls: string[], ledger: Ledger): Promise<Map<string, number>> {
  const rows = new Map<string, number>()
  let next = 0
  await Promise.all(Array.from({ length: READERS }, async (_, reader) => {
    while (next < ledger.writers) await readWriter(urls[reader % urls.length]!, next++, rows)
  }))
  return rows
}

async function readWriter (url: string, writer: number, rows: Map<string, number>): Promise<void> {
  let cursor: string | null = null
  do {
    const query: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`
    const page: Page | null = await read<Page>(`${url}/models/${writerName(writer)}?limit=${PAGE}${query}`)
    if (page === null) return
    for (const { version, message_id: messageId } of page.items) rows.set(key(writer, Number(version)), shortId(messageId))
    cursor = page.next_cursor
  } while (cursor !== null)
}

/** The dead letters of the journal, as `w1/2`. */
export async function readBuried (url: string): Promise<string[]> {
  return await read<string[]>(`${url}/buried`) ?? []
}

/** What the service answers; null for 404. Reading is repeated where the service has no time, or hangs up. */
async function read<T> (url: string): Promise<T | null> {
  for (let attempt = 1; ; attempt++) {
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(10_000) })
      if (response.ok) return await response.json() as T
      if (response.status === 404) return null
      throw new Error(`GET ${url} answered ${response.status}: ${await response.text()}`)
    } catch (err) {
      if (attempt === ATTEMPTS) throw err
      await delay(100 * attempt)
    }
  }
}
