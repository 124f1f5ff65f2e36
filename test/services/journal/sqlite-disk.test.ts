import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { Batch, Position } from '../../../services/journal/journal.ts'
import { SqliteEngine } from '../../../services/journal/sqlite/engine.ts'
import { SqliteJournal } from '../../../services/journal/sqlite/journal.ts'
import { Random } from '../../helpers/random.ts'
import type { Teardown } from '../../helpers/redis-server.ts'
import { temporaryDirectory } from '../../helpers/temporary.ts'
import { until } from '../../helpers/until.ts'

const SEED = Number(process.env.SEED ?? 1)
t.setTimeout(300_000)

const WRITER = join(import.meta.dirname, 'sqlite-writer.ts')

type Check = Teardown & Pick<typeof t, 'equal' | 'fail'>

/** A process that appends until it is killed, and what it said of each message. */
function startWriter (t: Teardown, path: string, prefix: string, fileLimitKiB: number | null = null) {
  // tap's own module would end the process at the signal of a full disk, which Node ignores.
  const limit = fileLimitKiB === null ? '' : `unset NODE_OPTIONS; ulimit -S -f ${fileLimitKiB}; `
  const child = spawn('bash', ['-c', `${limit}exec "$0" "$@"`, process.execPath, WRITER, path, prefix], { stdio: ['ignore', 'pipe', 'ignore'] })
  const said = { accepted: [] as string[], refused: [] as string[] }
  const lines = createInterface({ input: child.stdout })
  lines.on('line', (line) => {
    // The kill may cut the last line off in the middle.
    if (line.endsWith('.')) said[line.startsWith('+ ') ? 'accepted' : 'refused'].push(line.slice(2))
  })
  const kill = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return
    const closed = once(lines, 'close')
    child.kill('SIGKILL')
    await closed
  }
  t.teardown(kill)
  return { ...said, pid: child.pid!, kill }
}

function open (t: Teardown, path: string) {
  const engine = new SqliteEngine({ path, limits: { maxRows: 1e6, maxBytes: 1e9 }, modules: [] })
  t.teardown(() => engine.close())
  const journal = new SqliteJournal(engine, 'node')
  return { engine, journal, append: (body: string) => journal.append([{ key: 'model', body }]) }
}

/** Everything that a journal holds, as the relay would get it; its numbers must be dense. */
async function stored (t: Check, path: string): Promise<string[]> {
  const { engine, journal } = open(t, path)
  const lease = (await journal.acquireLease('test', 60_000))!
  const bodies: string[] = []
  let after: Position | null = null
  for (let batch: Batch | null; (batch = await journal.advance({
    lease, leaseUntil: Date.now() + 60_000, published: after, after, maxRows: 500, maxBytes: 1e6
  })) !== null;) {
    if (batch.first !== bodies.length + 1) t.fail(`number ${batch.first} follows ${bodies.length}`)
    bodies.push(...batch.bodies)
    after = { term: batch.term, seq: batch.last }
  }
  t.equal((await journal.stats()).retainedRows, bodies.length, 'the sums are those of the rows')
  await engine.close()
  return bodies
}

function missing (accepted: string[], bodies: string[]): string[] {
  const found = new Set(bodies)
  return accepted.filter((body) => !found.has(body))
}

t.test(`I2 what was acknowledged survives kill -9 at any moment, exactly once (seed ${SEED})`, { timeout: 120_000 }, async (t) => {
  const random = new Random(SEED)
  const directory = await temporaryDirectory(t)
  const lanes = Array.from({ length: 4 }, (_, lane) => ({ lane, path: join(directory, `${lane}.db`), pauses: Array.from({ length: 8 }, () => random.below(40)) }))
  await Promise.all(lanes.map(async ({ lane, path, pauses }) => {
    const accepted: string[] = []
    for (const [round, pauseMs] of pauses.entries()) {
      const writer = startWriter(t, path, `${lane}.${round}`)
      await until(() => writer.accepted.length > 0)
      await delay(pauseMs)
      await writer.kill()
      accepted.push(...writer.accepted)
    }
    const bodies = await stored(t, path)
    t.ok(accepted.length >= pauses.length)
    t.strictSame(missing(accepted, bodies), [], `${accepted.length} acknowledged over ${pauses.length} kills, none missing`)
    t.equal(new Set(bodies).size, bodies.length, 'none twice')
  }))
})

t.test('R5.6 a disk that takes no more: refused, nothing lost, nothing stored unasked, and recovery without a restart', { timeout: 60_000 }, async (t) => {
  const path = join(await temporaryDirectory(t), 'full.db')
  const writer = startWriter(t, path, 'full', 1024)
  await until(() => writer.refused.length >= 20)
  const before = writer.accepted.length
  t.ok(before > 0, 'there was room at first')
  t.equal(spawnSync('prlimit', ['--pid', String(writer.pid), '--fsize=unlimited:']).status, 0)
  await until(() => writer.accepted.length > before + 100)
  await writer.kill()
  const bodies = await stored(t, path)
  t.strictSame(missing(writer.accepted, bodies), [], 'every acknowledged message is there')
  t.equal(new Set(bodies).size, bodies.length, 'none twice')
  const refused = new Set(writer.refused)
  t.strictSame(bodies.filter((body) => refused.has(body)), [], 'and none that was refused')
})

t.test('R5.6 a database file that was deleted is restored from the open handle: nothing accepted is lost', async (t) => {
  const path = join(await temporaryDirectory(t), 'folder', 'deleted.db')
  const { engine, append } = open(t, path)
  await append('before')
  for (const suffix of ['', '-wal', '-shm']) rmSync(`${path}${suffix}`)
  await append('meanwhile')
  rmSync(dirname(path), { recursive: true })
  await append('after')
  await engine.close()
  t.strictSame(await stored(t, path), ['before', 'meanwhile', 'after'])
})

t.test('R5.6 a database file that was replaced: nothing is acknowledged into the void, what was there is kept aside', async (t) => {
  const directory = await temporaryDirectory(t)
  const [path, other] = [join(directory, 'replaced.db'), join(directory, 'other.db')]
  const foreign = open(t, other)
  await foreign.append('of the other file')
  await foreign.engine.close()
  const { engine, append } = open(t, path)
  await append('before')
  renameSync(other, path)
  const error: Error = await append('meanwhile').then(() => t.fail('acknowledged'), (err) => err)
  t.match(error, { code: 'FST_BRK_STORE_UNAVAILABLE', message: /replaced/ })
  await until(() => append('after').then(() => true, () => false))
  await engine.close()
  t.strictSame(await stored(t, path), ['of the other file', 'after'])
  const [copy] = /\S+\.replaced-\d+/.exec(error.message)!
  t.strictSame(await stored(t, copy), ['before', 'meanwhile'])
})
